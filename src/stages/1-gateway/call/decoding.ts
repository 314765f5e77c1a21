import { type Dispatcher, interceptors } from "undici";

/** What handles a response; all its methods are there. */
type Handler = Required<Pick<Dispatcher.DispatchHandler, "onRequestStart" | "onResponseStart" | "onResponseData" | "onResponseEnd" | "onResponseError">>;

let decompress: Dispatcher.DispatcherComposeInterceptor | null = null;

/**
 * Decodes a response of an upstream that encodes although it was asked not to (gzip, deflate, br, zstd): the answer could not be checked or judged otherwise, nor
 * the usage of its stream be hidden. What `handler` gets no longer has `content-encoding` and `content-length`; another encoding comes as it is. It is read no
 * faster than `handler` takes it, so that a small response that grows to a large one holds no memory.
 *
 * @returns what is to be given the response from its start on
 */
export function decoderFor(handler: Handler, controller: Dispatcher.DispatchController): Handler {
  decompress ??= interceptors.decompress({ skipErrorResponses: false });
  let decoder = handler;
  // The library decorates handlers of requests that are about to be sent; this one has been, and most never need it.
  decompress((_, decorated) => {
    decoder = decorated as Handler;
    return true;
  })({ path: "/", method: "POST" }, handler);
  decoder.onRequestStart(controller, null);
  return decoder;
}
