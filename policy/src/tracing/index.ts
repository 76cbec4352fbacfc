export { type Attributes, type Link, linkTo, type Span, spanName } from './span.ts';
export { otlpSender, type Post, type Sender } from './sender.ts';
export { Tracer, type TracerOptions } from './tracer.ts';
export { readTracing, type TracingConfig } from './config.ts';
