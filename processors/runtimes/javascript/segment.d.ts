// What functions in JavaScript and TypeScript see, for editors and type checkers. Made by `hookmill types`.
//
//   async function onRequest(request: ServerRequest, settings: Settings<'my-source'>): Promise<void> { ... }

/** One webhook. What is not asked for is not parsed. */
declare class ServerRequest {
  constructor(body: string | object | null, init?: { headers?: HeadersInit; url?: string | URL })
  /** The body parsed, the same object every time. Throws `SyntaxError` for what is not JSON. */
  json(): any
  /** The body as it was sent. */
  text(): string
  /** The headers it came with, without credentials. */
  readonly headers: Headers
  /** The URL the sender called, without its token: `request.url.searchParams.get('name')`. */
  readonly url: URL
}

type SegmentId = string | number

interface SegmentCommon {
  context?: Record<string, unknown> | null
  integrations?: Record<string, unknown> | null
  /** Chosen by the function; else one is derived from the webhook, the same with every delivery. */
  messageId?: string | null
  sentAt?: string | number | Date | null
  /** When it happened: ISO 8601, epoch milliseconds or a `Date`. Without it: when the webhook came. */
  timestamp?: string | number | Date | null
}

/** Every event has a user: `userId`, `anonymousId` or both. */
type SegmentUser =
  | { userId: SegmentId; anonymousId?: SegmentId | null }
  | { userId?: SegmentId | null; anonymousId: SegmentId }

type SegmentEvent<Fields> = SegmentUser & SegmentCommon & Fields

/** What a helper queued; changing it changes what is sent. */
type SegmentMessage = { type: string; [field: string]: any }
type SegmentObject = { collection: string; id: SegmentId; properties?: Record<string, any>; deleted?: boolean }

/** Queues messages; they are sent when `onRequest` returns without an error. Call the helpers as `Segment.track(...)`. */
declare const Segment: {
  /** Who a user is. */
  identify(message: SegmentEvent<{ traits?: object | null }>): SegmentMessage
  /** What a user did. */
  track(message: SegmentEvent<{ event: string; properties?: object | null }>): SegmentMessage
  /** The account a user belongs to. */
  group(message: SegmentEvent<{ groupId: SegmentId; traits?: object | null }>): SegmentMessage
  /** A page that a user saw. */
  page(message: SegmentEvent<{ name?: string | null; properties?: object | null }>): SegmentMessage
  /** A screen of an app that a user saw. */
  screen(message: SegmentEvent<{ name?: string | null; properties?: object | null }>): SegmentMessage
  /** Another id the user had. */
  alias(message: SegmentEvent<{ previousId: SegmentId }>): SegmentMessage
  /** A row of the collection: later ones of the same id are merged into it. */
  set(object: { collection: string; id: SegmentId; properties?: object | null }): SegmentObject
  /** The row is gone, but for what later calls set. */
  delete(object: { collection: string; id: SegmentId }): SegmentObject
  /** Events that this invocation queued so far. */
  readonly events: SegmentMessage[]
  /** Objects that this invocation queued so far. */
  readonly objects: SegmentObject[]
}

/** A setting or an input is invalid: final, no other try. */
declare class ValidationError extends Error {}
/** This kind of webhook is not handled: final, no other try. */
declare class EventNotSupported extends Error {}
/** The webhook lacks something: final, no other try. */
declare class InvalidEventPayload extends Error {}
/** Another try may succeed. */
declare class RetryError extends Error {}
/** Nothing is wanted of this webhook: counted, not kept. */
declare class DropEvent extends Error {}

/** Values that stay between invocations of one process; one may vanish at any time. */
declare const cache: {
  /** The value kept under `key`, at most `ttl` ms old (-1: however old); else what `fn` returns now. */
  load<Value>(key: string, ttl: number, fn: () => Value | Promise<Value>): Promise<Value>
  load<Value>(key: string, fn: () => Value | Promise<Value>): Promise<Value>
  delete(key: string): void
}

/** Lines are kept with the invocation; values of secret settings are taken out of them. */
declare const console: Record<'log' | 'info' | 'warn' | 'error' | 'debug' | 'trace', (...values: unknown[]) => void>

type HeadersInit = Headers | Record<string, string> | Iterable<readonly [string, string]>

declare class Headers {
  constructor(init?: HeadersInit)
  append(name: string, value: string): void
  delete(name: string): void
  /** `null` when absent; several of one name are joined by a comma. */
  get(name: string): string | null
  getSetCookie(): string[]
  has(name: string): boolean
  set(name: string, value: string): void
  forEach(callback: (value: string, name: string, headers: Headers) => void): void
  entries(): IterableIterator<[string, string]>
  keys(): IterableIterator<string>
  values(): IterableIterator<string>
  [Symbol.iterator](): IterableIterator<[string, string]>
}

declare class URLSearchParams {
  constructor(init?: string | Record<string, string> | Iterable<readonly [string, string]> | URLSearchParams)
  readonly size: number
  append(name: string, value: string): void
  delete(name: string): void
  get(name: string): string | null
  getAll(name: string): string[]
  has(name: string): boolean
  set(name: string, value: string): void
  sort(): void
  toString(): string
  forEach(callback: (value: string, name: string, parameters: URLSearchParams) => void): void
  entries(): IterableIterator<[string, string]>
  keys(): IterableIterator<string>
  values(): IterableIterator<string>
  [Symbol.iterator](): IterableIterator<[string, string]>
}

declare class URL {
  constructor(url: string | URL, base?: string | URL)
  static canParse(url: string | URL, base?: string | URL): boolean
  hash: string
  host: string
  hostname: string
  href: string
  readonly origin: string
  password: string
  pathname: string
  port: string
  protocol: string
  search: string
  readonly searchParams: URLSearchParams
  username: string
  toString(): string
  toJSON(): string
}

interface RequestInit {
  method?: string
  headers?: HeadersInit
  body?: string | Uint8Array | ArrayBuffer | URLSearchParams | FormData | null
  redirect?: 'follow' | 'error' | 'manual'
}

interface ResponseInit {
  status?: number
  statusText?: string
  headers?: HeadersInit
}

interface Body {
  readonly bodyUsed: boolean
  arrayBuffer(): Promise<ArrayBuffer>
  json(): Promise<any>
  text(): Promise<string>
}

interface Request extends Body {
  readonly method: string
  readonly url: string
  readonly headers: Headers
  clone(): Request
}
declare const Request: { new (input: string | URL | Request, init?: RequestInit): Request }

interface Response extends Body {
  readonly ok: boolean
  readonly redirected: boolean
  readonly status: number
  readonly statusText: string
  readonly url: string
  readonly headers: Headers
  clone(): Response
}
declare const Response: { new (body?: string | Uint8Array | ArrayBuffer | null, init?: ResponseInit): Response }

/** To the hosts that the source allows: `[network] allow = [...]` in its source.toml. To none without it. */
declare function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>

type BufferEncoding = 'ascii' | 'base64' | 'base64url' | 'binary' | 'hex' | 'latin1' | 'ucs2' | 'utf16le' | 'utf8'

interface Buffer extends Uint8Array {
  toString(encoding?: BufferEncoding, start?: number, end?: number): string
  equals(other: Uint8Array): boolean
  compare(other: Uint8Array): number
  write(text: string, offset?: number, encoding?: BufferEncoding): number
}
declare const Buffer: {
  from(text: string, encoding?: BufferEncoding): Buffer
  from(bytes: ArrayLike<number> | ArrayBuffer): Buffer
  alloc(size: number, fill?: string | number): Buffer
  concat(parts: readonly Uint8Array[], bytes?: number): Buffer
  byteLength(text: string, encoding?: BufferEncoding): number
  compare(left: Uint8Array, right: Uint8Array): number
  isBuffer(value: unknown): value is Buffer
}

interface Hash {
  update(text: string | Uint8Array, encoding?: BufferEncoding): Hash
  digest(): Buffer
  digest(encoding: 'hex' | 'base64' | 'base64url' | 'binary'): string
}

/** Node's module of that name; what is not listed is there too. */
declare const crypto: {
  createHash(algorithm: string): Hash
  createHmac(algorithm: string, key: string | Uint8Array): Hash
  randomBytes(size: number): Buffer
  randomUUID(): string
  timingSafeEqual(left: Uint8Array, right: Uint8Array): boolean
  [name: string]: any
}

declare function atob(base64: string): string
declare function btoa(binary: string): string

interface Timer {
  readonly timer: unique symbol
}
declare function setTimeout(callback: (...values: any[]) => void, ms?: number, ...values: any[]): Timer
declare function setInterval(callback: (...values: any[]) => void, ms?: number, ...values: any[]): Timer
declare function clearTimeout(timer: Timer | undefined): void
declare function clearInterval(timer: Timer | undefined): void

/** lodash */
declare const _: any
/** form-data, or the class of the web platform where that package is not installed */
interface FormData {
  append(name: string, value: any, options?: any): void
  [name: string]: any
}
declare const FormData: { new (): FormData }
/** oauth: `OAuth`, `OAuthEcho`, `OAuth2` */
declare const OAuth: any
/** xml: from a structure to XML text */
declare function xml(structure: any, options?: any): string
/** aws-sdk */
declare const AWS: any
/** All of the above */
declare const window: Record<string, any>
