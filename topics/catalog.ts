import { z } from "zod";
import { atMs, defineTopic, openEnum, type ValueOf } from "./define.ts";

/** Texts by content digest, so that an audit a year later finds them; and the layout record of the prefix. */
export const catalog = defineTopic({
  name: "catalog",
  about: "Specs and rubrics by SHA-256 of their text; under key `layout` the partition counts that this prefix is frozen to.",
  shape: z.object({
    digest: z.string(),
    kind: openEnum("spec", "rubric", "layout"),
    name: z.string(),
    text: z.string(),
    atMs: atMs(),
  }),
  key: "digest",
  partitions: 1,
  retention: { cleanup: "compact" },
  writers: ["control", "cli"],
  readers: ["judge", "control"],
});
export type CatalogEntry = ValueOf<typeof catalog>;
