/** What is wrong with a TLS handshake, for a person: the end of a sentence that begins with the upstream's host, and what to do. */
export interface TlsProblem {
  readonly what: string;
  readonly fix: string;
}

/** As OpenSSL and Node name it when nobody vouches for a certificate. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
]);
/** What a server's first bytes are taken for that are no TLS. */
const NO_TLS = /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNEXPECTED_MESSAGE|RECORD_LAYER_FAILURE)$/;
/** What a server says of the certificate that it was shown, or was not. */
const OF_OURS = /ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|NO_CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|DECRYPT_ERROR)/;
const PROTOCOL = /ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE|NO_APPLICATION_PROTOCOL/;

/** @param error of a connection to an https address that was not made, or broke right after its handshake; its `code` decides */
export function tlsProblem(error: NodeJS.ErrnoException & { readonly cert?: { readonly subjectaltname?: string } }): TlsProblem {
  const code = error.code ?? error.message;
  if (code === "CERT_HAS_EXPIRED") {
    return {
      what: `: its certificate has ended (${code}), or one that vouches for it`,
      fix: "renew it at the upstream; if it is not due, set this machine's clock",
    };
  }
  if (code === "CERT_NOT_YET_VALID") {
    return { what: `: its certificate is not valid yet (${code})`, fix: "look at this machine's clock (NTP), then at the upstream's certificate" };
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const names = error.cert?.subjectaltname ?? "no name";
    return { what: `: its certificate is for another name (${names})`, fix: "correct baseUrl, or set tls.serverName if one of these names is the right one" };
  }
  if (UNTRUSTED.has(code)) {
    return {
      what: `: its certificate is not signed by an authority that the gateway knows (${code})`,
      fix: "set tls.caFile to the certificates of its authority (PEM); or the upstream does not send its intermediate certificates, and should",
    };
  }
  if (NO_TLS.test(code)) {
    return { what: ` does not speak TLS (${code})`, fix: "correct the port of baseUrl, or write http:// if it is meant to be without TLS" };
  }
  if (OF_OURS.test(code)) {
    return {
      what: ` refuses the gateway's certificate, or that it shows none (${code})`,
      fix: "set tls.certFile and tls.keyFile to a certificate that the upstream accepts, and that has not ended",
    };
  }
  if (/ALERT_HANDSHAKE_FAILURE/.test(code)) {
    const fix = "set tls.certFile and tls.keyFile if the upstream asks for a certificate; else compare its ciphers, and tls.serverName";
    return { what: ` refuses the handshake: it wants a certificate of the gateway, or agrees to no cipher (${code})`, fix };
  }
  if (PROTOCOL.test(code))
    return { what: ` speaks no version of TLS that the gateway does (${code})`, fix: "let the upstream take TLS 1.2 or 1.3, with HTTP/1.1" };
  if (/PEM|KEY_VALUES_MISMATCH|BAD_DECRYPT|UNSUPPORTED|ASN1|EE_KEY_TOO_SMALL/.test(code)) {
    return {
      what: `: the gateway's own certificate cannot be used (${code})`,
      fix: "look at tls.certFile and tls.keyFile: PEM, and the key must be the certificate's",
    };
  }
  return {
    what: `: no TLS handshake succeeds (${code})`,
    fix: "look at baseUrl, tls.serverName and the upstream's log; it may also refuse a gateway without tls.certFile",
  };
}
