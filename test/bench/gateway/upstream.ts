import { fixedUpstream } from "./fixed-upstream.ts";

/** The fixed upstream as a process of its own; tells its parent its port. */
const server = fixedUpstream();
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.({ port: typeof address === "object" ? address?.port : 0 });
});
process.on("disconnect", () => process.exit(0));
