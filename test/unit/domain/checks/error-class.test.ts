import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { errorClassOf, isFailed } from "../../../../src/domain/checks/error-class.ts";
import { callContributions } from "../../../../src/domain/signals/call-contributions.ts";
import { callWith } from "../signals/call-fixture.ts";

describe("the class of an error", () => {
  it("is read from status and HTTP status", () => {
    const classOf = (status: "ok" | "error" | "timeout" | "cancelled", httpStatus: number) => errorClassOf({ status, httpStatus, firstErrorType: "" });
    assert.deepEqual(
      [
        classOf("timeout", 504),
        classOf("error", 429),
        classOf("error", 400),
        classOf("error", 503),
        classOf("error", 0),
        classOf("ok", 200),
        classOf("cancelled", 0),
      ],
      ["timeout", "rate_limit", "client", "server", "server", null, null],
    );
  });

  it("is the first attempt's where a later one was answered, and the call counts as failed", () => {
    const of = (status: "ok" | "cancelled", firstErrorType: string) => errorClassOf({ status, httpStatus: 200, firstErrorType });
    assert.deepEqual(
      [of("ok", "timeout"), of("ok", "429"), of("ok", "503"), of("cancelled", "ECONNREFUSED"), of("ok", "")],
      ["timeout", "rate_limit", "server", "server", null],
    );
    assert.deepEqual(
      [
        isFailed({ status: "ok", firstErrorType: "503" }),
        isFailed({ status: "ok", firstErrorType: "" }),
        isFailed({ status: "cancelled", firstErrorType: "" }),
      ],
      [true, false, null],
    );
    const rate = callContributions(callWith({ status: "ok", attempts: 2, firstErrorType: "503" }), { call: null, twin: null }, []);
    assert.equal(rate.find(({ signal }) => signal === "error_rate")?.value, 1);
  });

  it("is a rate over all calls that were not cancelled, of one class per failed call", () => {
    const classes = (call: Parameters<typeof callWith>[0]) =>
      callContributions(callWith(call), { call: null, twin: null }, [])
        .filter(({ signal }) => signal.startsWith("error_") && signal !== "error_rate")
        .map(({ signal, value, records }) => `${signal} ${value}/${records}`);
    assert.deepEqual(classes({ status: "error", httpStatus: 429 }), ["error_timeout 0/1", "error_rate_limit 1/1", "error_client 0/1", "error_server 0/1"]);
    assert.deepEqual(classes({ status: "ok", httpStatus: 200 }), ["error_timeout 0/1", "error_rate_limit 0/1", "error_client 0/1", "error_server 0/1"]);
    assert.deepEqual(classes({ status: "cancelled" }), []);
  });
});
