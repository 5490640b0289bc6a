// The helpers that send messages. Rules: SEGMENT-SPEC 2.6; `delete` is ours. A message belongs to the invocation it was sent in.
(function segment(host, errors) {
  'use strict';
  const { ValidationError } = errors;

  function open(helper) {
    const invocation = host.invocation();
    if (!invocation) throw new Error(`Segment.${helper} was called outside of onRequest.`);
    if (invocation.isClosed) throw new Error(`Segment.${helper} was called after onRequest had ended.`);
    invocation.reserve();
  }

  function requireDefined(props, names) {
    for (const name of names) {
      if (props[name] === undefined || props[name] === '') {
        throw new ValidationError(`${name} is required but not defined`);
      }
    }
  }

  function requireIdentity(props) {
    if (!props.userId && !props.anonymousId) {
      throw new ValidationError('One of userId,anonymousId is required but not defined');
    }
  }

  // Whatever realm it is of.
  function isPlain(value) {
    const parent = Object.getPrototypeOf(value);
    return parent === null || Object.getPrototypeOf(parent) === null;
  }

  // Of a key that is only a key, whatever its name.
  const DATA = { configurable: true, enumerable: true, writable: true };

  // Plain objects and arrays anew at every level, everything else as it is. Circles stay circles.
  function copy(value, copies = new Map()) {
    if (typeof value !== 'object' || value === null || !(Array.isArray(value) || isPlain(value))) return value;
    if (copies.has(value)) return copies.get(value);
    const copied = Array.isArray(value) ? [] : {};
    copies.set(value, copied);
    for (const key of Object.keys(value)) {
      const item = copy(value[key], copies);
      if (key === '__proto__') Object.defineProperty(copied, key, { ...DATA, value: item });
      else copied[key] = item;
    }
    return copied;
  }

  const COMMON = ['userId', 'anonymousId', 'context', 'integrations', 'messageId', 'sentAt', 'timestamp'];
  const COPIED = new Set(['context', 'integrations']);

  // A helper: `required` must be defined; `required` and `taken` are copied, the latter if truthy. Like that of Segment
  // it needs its `this` (R42).
  const eventHelper = (type, required, taken) => function helper(props) {
    requireDefined(props, required);
    requireIdentity(props);
    const event = { type };
    for (const name of required) event[name] = props[name];
    for (const name of taken) if (props[name]) event[name] = props[name];
    for (const name of COMMON) {
      if (props[name]) event[name] = COPIED.has(name) ? copy(props[name]) : props[name];
    }
    open(type);
    this.events.push(event);
    return event;
  };

  return {
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
      open('set');
      this.objects.push(object);
      return object;
    },
    delete(props) {
      requireDefined(props, ['collection', 'id']);
      const object = { collection: props.collection, id: props.id, deleted: true };
      open('delete');
      this.objects.push(object);
      return object;
    },
    get events() {
      return host.invocation()?.events ?? [];
    },
    get objects() {
      return host.invocation()?.objects ?? [];
    },
  };
})
