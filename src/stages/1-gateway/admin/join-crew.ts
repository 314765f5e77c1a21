import { KnownError } from "../../../errors/known-error.ts";
import type { FirstProcess } from "../../../runtime/process/crew.ts";
import type { LiveRoutes } from "../routing/live-routes.ts";
import type { BrakeDesk } from "./brake-desk.ts";
import { type BrakedHere, type Cleared, type CrewQuestion, type Obeyed, problemOf, type Welcome } from "./crew-messages.ts";

/**
 * Makes this process one of several that are one gateway, whose admin port its first process has: obeys what was braked before, and answers it from now
 * on. To be waited for before calls are served.
 */
export async function joinCrew(
  first: FirstProcess,
  parts: { readonly desk: BrakeDesk; readonly routes: LiveRoutes; readonly status: () => Promise<object> },
): Promise<void> {
  const { desk, routes, status } = parts;
  const answer = async (question: CrewQuestion): Promise<BrakedHere | Obeyed | object> => {
    if (question.kind === "status") return await status();
    if (question.kind === "obey") {
      desk.obey(question.brakes);
      return { kept: await desk.keep() };
    }
    try {
      return { brake: desk.brake(question.asked) };
    } catch (error) {
      if (error instanceof KnownError) return { problem: problemOf(error) };
      throw error;
    }
  };
  const { brakes } = (await first.join((question) => answer(question as CrewQuestion))) as Welcome;
  desk.obey(brakes);
  let toldMs = -1;
  const tell = () => {
    const { clearedAtMs } = routes;
    if (clearedAtMs <= toldMs) return;
    toldMs = clearedAtMs;
    first.tell({ clearedAtMs } satisfies Cleared);
  };
  routes.onChange(tell);
  tell();
}
