import type { ContenderResult } from "../../domain/audit/summary.ts";
import { plain } from "../terminal.ts";
import { type Audited, findings, showCount, showNoticing, showShare } from "./words.ts";

const WIDTH = 1_200;
const ROW = 34;
const TOP = 148;
const NAME_X = 24;
const BAR_X = 300;
const BAR_WIDTH = 220;
const SHARE_X = BAR_X + BAR_WIDTH + 12;
const NOTICE_X = 656;
const LONGEST_NAME = 34;

const xml = (text: string) => plain(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
const cut = (text: string) => (text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME - 1)}…` : text);

/** Fonts of the reader's system; colours of light and dark, each with its own ground, so that the picture reads on any page. */
const style = `
    text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, Ubuntu, sans-serif; fill: #1f2328; }
    .title { font-size: 20px; font-weight: 600; } .cell { font-size: 13px; } .own { font-weight: 600; } .head { font-size: 12px; font-weight: 600; } .dim { fill: #59636e; font-size: 12px; }
    .ground { fill: #ffffff; stroke: #d1d9e0; } .track { fill: #eff2f5; } .bad { fill: #bc4c00; } .good { fill: #1a7f37; } .line { stroke: #d1d9e0; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .dim { fill: #9198a1; } .ground { fill: #0d1117; stroke: #3d444d; }
      .track { fill: #212830; } .bad { fill: #f0883e; } .good { fill: #3fb950; } .line { stroke: #3d444d; }
    }`;

/** The table as a picture: complete in itself, no script, no font, nothing loaded. */
export function auditSvg(audited: Audited): string {
  const { result, model } = audited;
  const { contenders, effects, settings, rollouts, callsPerSecond } = result;
  const height = TOP + contenders.length * ROW + 62;
  const columnWidth = (WIDTH - NOTICE_X - 12) / Math.max(1, effects.length);
  const traffic = `${showCount(result.rows)} recorded calls${model === "" ? "" : ` of ${model}`}, ${Number(callsPerSecond.toPrecision(3))} calls/s, candidate ${Number((100 * settings.share).toPrecision(3))} %`;
  const rows = contenders.map((contender, i) => row(contender, { audited, y: TOP + i * ROW, columnWidth })).join("\n");
  const heads = effects.map(({ title }, i) => `<text class="head" x="${NOTICE_X + i * columnWidth}" y="${TOP - 22}">${xml(title)}</text>`).join("\n  ");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="t d">
  <title id="t">Would this gate stop a model identical to yours?</title>
  <desc id="d">${xml(description(audited))}</desc>
  <style>${style}
  </style>
  <rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8"/>
  <text class="title" x="${NAME_X}" y="40">Would this gate stop a model identical to yours?</text>
  <text class="dim" x="${NAME_X}" y="64">${xml(traffic)}; ${showCount(rollouts.identical)} simulated rollouts of ${settings.hours} h, both arms drawn from the same calls</text>
  <text class="head" x="${BAR_X}" y="${TOP - 22}">stops an identical model within ${settings.hours} h</text>
  <text class="head" x="${NOTICE_X}" y="${TOP - 42}">time to notice, and exposed by then (median)</text>
  ${heads}
  <line class="line" x1="${NAME_X}" x2="${WIDTH - NAME_X}" y1="${TOP - 10}" y2="${TOP - 10}"/>
${rows}
  <text class="dim" x="${NAME_X}" y="${height - 34}">± Monte Carlo error, 95 %. A rule that stops everything also stops harm early: read the right columns only where the bar is short.</text>
  <text class="dim" x="${NAME_X}" y="${height - 16}">¹ re-implementation of the rule, not the product. headgate audit, seed ${settings.seed}.</text>
</svg>
`;
}

function row(contender: ContenderResult, about: { readonly audited: Audited; readonly y: number; readonly columnWidth: number }): string {
  const { identical, kind, name, noticing } = contender;
  const { audited, y, columnWidth } = about;
  const text = y + 17;
  const width = Math.max(identical.value > 0 ? 2 : 0, identical.value * BAR_WIDTH);
  const notices = noticing.map((found, i) => `<text class="cell" x="${NOTICE_X + i * columnWidth}" y="${text}">${xml(showNoticing(found, audited))}</text>`);
  return `  <g>
    <title>${xml(name)}: ${xml(contender.reading)}</title>
    <text x="${NAME_X}" y="${text}"${kind === "ready_made" ? "" : ' class="own"'}>${xml(cut(name))}${kind === "ready_made" ? " ¹" : ""}</text>
    <rect class="track" x="${BAR_X}" y="${y + 4}" width="${BAR_WIDTH}" height="18" rx="3"/>
    <rect class="${identical.value > audited.result.alpha ? "bad" : "good"}" x="${BAR_X}" y="${y + 4}" width="${width.toFixed(1)}" height="18" rx="3"/>
    <text x="${SHARE_X}" y="${text}">${xml(showShare(identical))}</text>
    ${notices.join("\n    ")}
  </g>`;
}

/** The picture in words, for who does not see it. */
function description(audited: Audited): string {
  const rows = audited.result.contenders.map(({ name, identical }) => `${name}: ${showShare(identical)}`);
  return `${findings(audited).join(" ")} Share of rollouts of an identical model that each rule stopped: ${rows.join("; ")}.`;
}
