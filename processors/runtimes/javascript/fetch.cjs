// `fetch` of user code, with the classes of Node.js around it. The pool makes the call; there is no other way out of
// here. What is under way when its invocation ends wakes nobody up any more.
'use strict';
const { parentPort, workerData } = require('node:worker_threads');
const { CURRENT } = require('./progress.cjs');

const MAX_BODY_BYTES = 1_048_576;
const MAX_HEAD_BYTES = 60_000; // the pool takes 65,536 with what is around URL and headers
const WITHOUT_BODY = [101, 103, 204, 205, 304];
const REDIRECTS = [301, 302, 303, 307, 308];
const OFF = 'The network is off for this source. Name the hosts that its function may reach in source.toml: '
  + '[network] allow = ["api.example.com"].';

class FetchError extends Error {
  name = 'FetchError'; // as that of node-fetch
}

// `running` holds the invocation that code belongs to.
function fetchOf(running) {
  if (!workerData.load.network) return async () => { throw new FetchError(OFF); };
  return async function fetch(input, init) {
    const invocation = running.getStore();
    if (!invocation) throw new Error('fetch was called outside of onRequest.');
    if (invocation.isClosed) throw new Error('fetch was called after onRequest had ended.');
    const index = Atomics.load(workerData.progress, CURRENT);
    const request = new Request(input, init);
    const body = new Uint8Array(request.body ? await request.arrayBuffer() : 0);
    const head = headOf(request, index);
    check(head, body);
    if (invocation.isClosed) return new Promise(() => {});
    const { header, content } = await ask(head, body);
    if (invocation.isClosed) return new Promise(() => {});
    // Made here and not where the answer comes in: only so the stack has the line of the user's code.
    if (header.error) throw new FetchError(header.error);
    if (request.redirect === 'error' && REDIRECTS.includes(header.status)) {
      throw new FetchError(`${new URL(request.url).host} redirects, and the request says that is an error.`);
    }
    return responseOf(request, header, content);
  };
}

function headOf(request, index) {
  const redirect = request.redirect === 'follow' ? 'follow' : 'manual';
  return { index, method: request.method, url: request.url, headers: [...request.headers], redirect };
}

function check(head, body) {
  if (body.length > MAX_BODY_BYTES) {
    throw new FetchError(`A request body of ${body.length} bytes exceeds the limit of ${MAX_BODY_BYTES} bytes.`);
  }
  if (Buffer.byteLength(JSON.stringify(head)) > MAX_HEAD_BYTES) {
    throw new FetchError(`The URL and the headers of a request exceed the limit of ${MAX_HEAD_BYTES} bytes.`);
  }
}

function responseOf(request, header, content) {
  const { status, url = '', headers = [] } = header;
  if (status < 200 || status > 599) throw new FetchError(`${new URL(url).host} answers with the status ${status}.`);
  const statusText = require('node:http').STATUS_CODES[status] ?? '';
  const response = new Response(WITHOUT_BODY.includes(status) ? null : content, { status, statusText, headers });
  Object.defineProperties(response, { url: { value: url }, redirected: { value: url !== request.url } });
  return response;
}

const answers = new Map(); // how to settle a call, by its number
let calls = 0;

function ask(head, body) {
  if (calls === 0) parentPort.on('message', onMessage);
  calls += 1;
  parentPort.postMessage({ call: calls, head, body });
  return new Promise((settle) => { answers.set(calls, settle); });
}

function onMessage({ answer, header, content }) {
  if (answer === undefined) return;
  answers.get(answer)({ header, content: new Uint8Array(content) }); // a copy: Response takes no shared memory
  answers.delete(answer);
}

module.exports = { fetchOf };
