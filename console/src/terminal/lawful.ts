/**
 * What the page's content security policy asks of xterm.js 6.0.0, which knows none: its `<style>` elements need the response's nonce,
 * and a `style` attribute has to be set through the object model. The policy itself stays as strict as it is.
 */
import { styleNonce } from '../csp';

/** Gives the nonce to `<style>` elements that are made meanwhile. */
export function withStyleNonce(make: () => void): void {
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    const element = Document.prototype.createElement.call(document, name, options);
    if (element instanceof HTMLStyleElement) element.nonce = styleNonce();
    return element;
  }) as typeof document.createElement;
  try {
    make();
  } finally {
    Reflect.deleteProperty(document, 'createElement');
  }
}

/** From now on `setAttribute('style', …)` does by the object model what it says. */
export function styleAttributesByObject(): void {
  HTMLElement.prototype.setAttribute = function (this: HTMLElement, name: string, value: string) {
    if (name === 'style') this.style.cssText = value;
    else Element.prototype.setAttribute.call(this, name, value);
  };
}
