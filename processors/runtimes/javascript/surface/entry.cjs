// The way into a handler. It waits here and not in the runner, where promises of this context are foreign and cost more,
// and so that a `then` of what the handler returns runs as part of the invocation.
(function entry(host, ServerRequest) {
  'use strict';
  const { parse } = JSON;

  return (handler) => async (delivery, settings) => await handler(new ServerRequest(delivery), parse(settings));
})
