// What user code sees of Hookmill. Evaluated inside the function's own context, so that its errors, objects and arrays
// are instances of that context's classes. Rules: SEGMENT-SPEC 2.4, 2.6 and 2.7.
(function surface(host) {
  'use strict';
  const { parse } = JSON;

  class ServerRequest {
    #readText;
    #readMeta;
    #text;
    #json;
    #isParsed = false;
    #meta;
    #headers;
    #url;

    constructor(readText, readMeta) {
      this.#readText = readText;
      this.#readMeta = readMeta;
    }

    text() {
      return (this.#text ??= this.#readText());
    }

    json() {
      if (!this.#isParsed) {
        this.#json = parse(this.text());
        this.#isParsed = true;
      }
      return this.#json;
    }

    get headers() {
      return (this.#headers ??= host.headersOf(this.#call()[2]));
    }

    get url() {
      return (this.#url ??= new host.URL(this.#call()[1]));
    }

    #call() {
      return (this.#meta ??= this.#readMeta());
    }
  }

  const errorClass = (name) => ({
    [name]: class extends Error {
      constructor(message) {
        super(message);
        this.name = name;
      }
    },
  })[name];
  const errors = Object.fromEntries(
    ['ValidationError', 'EventNotSupported', 'InvalidEventPayload', 'RetryError', 'DropEvent']
      .map((name) => [name, errorClass(name)]),
  );

  function open(helper) {
    const invocation = host.invocation();
    if (!invocation) throw new Error(`Segment.${helper} was called outside of onRequest.`);
    if (invocation.isClosed) throw new Error(`Segment.${helper} was called after onRequest had ended.`);
    invocation.reserve();
    return invocation;
  }

  function requireDefined(props, names) {
    for (const name of names) {
      if (props[name] === undefined || props[name] === '') {
        throw new errors.ValidationError(`${name} is required but not defined`);
      }
    }
  }

  function requireIdentity(props) {
    if (!props.userId && !props.anonymousId) {
      throw new errors.ValidationError('One of userId,anonymousId is required but not defined');
    }
  }

  // Plain objects and arrays anew at every level, everything else as it is.
  function copy(value) {
    if (Array.isArray(value)) return value.map(copy);
    if (Object.prototype.toString.call(value) !== '[object Object]') return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item)]));
  }

  const COMMON = ['userId', 'anonymousId', 'context', 'integrations', 'messageId', 'sentAt', 'timestamp'];
  const COPIED = new Set(['context', 'integrations']);

  // A helper: `required` must be defined; `required` and `taken` are copied, the latter if truthy.
  const eventHelper = (type, required, taken) => (props) => {
    requireDefined(props, required);
    requireIdentity(props);
    const event = { type };
    for (const name of required) event[name] = props[name];
    for (const name of taken) if (props[name]) event[name] = props[name];
    for (const name of COMMON) {
      if (props[name]) event[name] = COPIED.has(name) ? copy(props[name]) : props[name];
    }
    open(type).events.push(event);
    return event;
  };

  const Segment = {
    identify: eventHelper('identify', [], ['traits']),
    track: eventHelper('track', ['event'], ['properties']),
    page: eventHelper('page', [], ['name', 'properties']),
    screen: eventHelper('screen', [], ['name', 'properties']),
    group: eventHelper('group', ['groupId'], ['traits']),
    alias: eventHelper('alias', ['previousId'], []),
    set(props) {
      requireDefined(props, ['collection', 'id']);
      const object = { collection: props.collection, id: props.id };
      if (props.properties) object.properties = props.properties;
      open('set').objects.push(object);
      return object;
    },
    get events() {
      return host.invocation()?.events ?? [];
    },
    get objects() {
      return host.invocation()?.objects ?? [];
    },
  };

  return {
    globals: { Segment, ServerRequest, ...errors },
    invoke: (handler, readText, readMeta, settingsText) => handler(
      new ServerRequest(readText, readMeta),
      parse(settingsText),
    ),
  };
})
