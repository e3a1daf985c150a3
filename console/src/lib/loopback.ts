/** The only place that a command line's sign-in may be sent to: the port it listens on, on this computer. */

export function loopbackPort(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}

export function isLoopback(location: string, port: number): boolean {
  let url: URL;
  try {
    url = new URL(location);
  } catch {
    return false;
  }
  const plain = url.username === '' && url.password === '';
  // A URL leaves out the port that its scheme implies.
  const given = url.port === '' ? 80 : Number(url.port);
  return url.protocol === 'http:' && url.hostname === '127.0.0.1' && given === port && plain;
}
