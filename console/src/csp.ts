/**
 * The page's content security policy allows styles of this origin, and inline ones that carry the response's nonce.
 * The gateway writes the nonce into `<meta name="csp-nonce">`; Mantine's few `<style>` elements take it from here.
 */
export function styleNonce(): string {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]');
  const nonce = meta?.content ?? '';
  // Served without a gateway (development), the placeholder is still there.
  return nonce === '__CSP_NONCE__' ? '' : nonce;
}
