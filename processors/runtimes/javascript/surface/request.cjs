// The webhook as user code has it. Rules: SEGMENT-SPEC 2.4. Other than there, the body is kept as it was sent: `text()`
// is exact, an empty body is an empty text, and the body `null` is the value null.
(function request(host) {
  'use strict';
  const { parse, stringify } = JSON;

  return class ServerRequest {
    #delivery; // what came in, of which nothing is decoded before it is asked for
    #text;
    #json;
    #isParsed = false;
    #headers;
    #url;

    // As in Segment's runtime, for code that makes requests of its own; the runner gives a delivery alone.
    constructor(body, { headers, url } = {}) {
      if (body instanceof host.Delivery) {
        this.#delivery = body;
        return;
      }
      if (typeof body === 'string') this.#text = body;
      else if (typeof body === 'object') {
        this.#json = body;
        this.#isParsed = true;
      } else throw new TypeError('unsupported body type');
      this.#headers = headers instanceof host.Headers ? headers : new host.Headers(headers);
      this.#url = typeof url === 'string' ? new host.URL(url) : url;
    }

    text() {
      return (this.#text ??= this.#delivery ? this.#delivery.text() : stringify(this.#json));
    }

    json() {
      if (!this.#isParsed) {
        this.#json = this.#parse(this.text());
        this.#isParsed = true;
      }
      return this.#json;
    }

    get headers() {
      return (this.#headers ??= this.#delivery.headers());
    }

    get url() {
      return (this.#url ??= this.#delivery.url());
    }

    #parse(text) {
      const flaw = text === '' ? 'empty' : this.#delivery?.flaw(text);
      if (flaw) throw new SyntaxError(`The body is ${flaw}`);
      try {
        return parse(text);
      } catch (error) {
        throw new SyntaxError(`The body is not JSON: ${error.message}`);
      }
    }
  };
})
