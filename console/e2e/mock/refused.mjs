/** An answer of the mocked gateway that is no success. */
export class Refused extends Error {
  constructor(status, code, message, hint) {
    super(message);
    this.status = status;
    this.body = { code, message, ...(hint ? { hint } : {}) };
  }
}
