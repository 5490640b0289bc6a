// Functions as they were before 11 September 2019: `exports.processEvents = async (event) => ({ events, objects })`.
// Rules: SEGMENT-SPEC F43 to F46.
(function legacy(host) {
  'use strict';

  function bodyOf(request) {
    try {
      return request.json();
    } catch {
      return request.text();
    }
  }

  // A parameter that is there more than once has a list of values.
  function queryOf({ searchParams }) {
    const names = [...new Set(searchParams.keys())];
    return Object.fromEntries(names.map((name) => {
      const values = searchParams.getAll(name);
      return [name, values.length > 1 ? values : values[0]];
    }));
  }

  function send(returned, kind) {
    const messages = returned[kind] ?? [];
    if (!Array.isArray(messages)) throw new TypeError(`processEvents returned ${kind} that are not an array.`);
    for (const message of messages) {
      host.invocation().reserve();
      host.invocation()[kind].push(message);
    }
  }

  // The handler of today that does what `processEvents` did.
  return (processEvents) => async function onRequest(request) {
    const payload = {
      body: bodyOf(request),
      headers: Object.fromEntries(request.headers),
      queryParameters: queryOf(request.url),
    };
    const returned = (await processEvents({ payload })) ?? {};
    send(returned, 'events');
    send(returned, 'objects');
  };
})
