import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';

/** 64 bits as JSON of protobuf has them; ids are hex ("OTLP Specification", JSON Protobuf Encoding). */
const uint64 = z.string().regex(/^\d{1,20}$/);
const AnyValue = z.union([
  z.strictObject({ stringValue: z.string() }),
  z.strictObject({ boolValue: z.boolean() }),
  z.strictObject({ intValue: z.string().regex(/^-?\d{1,19}$/) }),
  z.strictObject({ doubleValue: z.number() }),
]);
const Attributes = z.array(z.strictObject({ key: z.string().min(1), value: AnyValue }));
const traceId = z.string().regex(/^(?!0+$)[0-9a-f]{32}$/);
const spanId = z.string().regex(/^(?!0+$)[0-9a-f]{16}$/);

/** opentelemetry-proto, trace/v1, as far as we write it: whatever else is written is a mistake. */
export const ReceivedSpan = z.strictObject({
  traceId,
  spanId,
  parentSpanId: spanId.optional(),
  name: z.string().min(1),
  kind: z.int().min(1).max(5),
  startTimeUnixNano: uint64,
  endTimeUnixNano: uint64,
  attributes: Attributes,
  links: z.array(z.strictObject({ traceId, spanId })).optional(),
  status: z.strictObject({ code: z.int().min(0).max(2) }).optional(),
});
export type ReceivedSpan = z.infer<typeof ReceivedSpan>;
const Request = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes: Attributes }),
      scopeSpans: z.array(z.strictObject({ scope: z.strictObject({ name: z.string() }), spans: z.array(ReceivedSpan) })),
    }),
  ),
});

/** The value of an attribute, as text. */
export function attributeOf({ attributes }: ReceivedSpan, key: string): string | undefined {
  const value = attributes.find((each) => each.key === key)?.value;
  return value === undefined ? undefined : String(Object.values(value)[0]);
}

/** A receiver of OTLP/HTTP that takes what is OTLP and nothing else (400), and keeps every byte. */
export class Receiver implements AsyncDisposable {
  readonly spans: ReceivedSpan[] = [];
  /** All bodies that came, taken or not. */
  bytes = '';
  requests = 0;
  /** Why something was no OTLP. */
  readonly problems: string[] = [];
  /** Answers in its place; true: it did. */
  answer: ((response: ServerResponse) => boolean) | undefined;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        this.requests++;
        const body = Buffer.concat(parts).toString();
        this.bytes += body;
        if (this.answer?.(response) === true) return;
        const isMeant =
          request.method === 'POST' && request.url === '/v1/traces' && request.headers['content-type'] === 'application/json';
        const parsed = Request.safeParse(JSON.parse(body));
        if (!isMeant || !parsed.success) {
          this.problems.push(parsed.success ? `${request.method} ${request.url}` : z.prettifyError(parsed.error));
          response.writeHead(400).end();
          return;
        }
        for (const { scopeSpans } of parsed.data.resourceSpans) this.spans.push(...scopeSpans.flatMap(({ spans }) => spans));
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 2 }).end('{}');
      });
    });
  }
  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
