// The error classes of functions. Rules: SEGMENT-SPEC 2.7 and S20.
// Like every file of this folder it is evaluated in the function's own context, so that what it makes is an instance of
// that context's classes.
(function errors() {
  'use strict';

  function errorClass(name) {
    const made = { [name]: class extends Error {} }[name];
    Object.defineProperty(made.prototype, 'name', { value: name, configurable: true, writable: true });
    return [name, made];
  }

  return Object.fromEntries(
    ['ValidationError', 'EventNotSupported', 'InvalidEventPayload', 'RetryError', 'DropEvent'].map(errorClass),
  );
})
