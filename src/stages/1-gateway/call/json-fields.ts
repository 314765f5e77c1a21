import { endOfString } from "../http/json-depth.ts";

/** Where a field of an object stands in its text. */
export interface FieldPlace {
  /** Of the opening quote of its name. */
  readonly nameFrom: number;
  /** Of the closing quote of its name. */
  readonly nameTo: number;
  /** Of what comes behind its colon. */
  readonly valueFrom: number;
  /** Of the comma or bracket behind its value. */
  readonly valueTo: number;
}

/**
 * The fields of the outermost object, in their order, repeated ones too. Reads each character once, and jumps over texts.
 *
 * @param json text that `JSON.parse` has accepted as an object
 */
export function fieldPlaces(json: string): FieldPlace[] {
  const places: FieldPlace[] = [];
  let depth = 0;
  let name: { readonly nameFrom: number; readonly nameTo: number } | null = null;
  const end = (valueTo: number): void => {
    if (name !== null) places.push({ ...name, valueFrom: json.indexOf(":", name.nameTo) + 1, valueTo });
    name = null;
  };
  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case 0x22: {
        const nameTo = endOfString(json, i);
        if (depth === 1) name ??= { nameFrom: i, nameTo };
        i = nameTo;
        break;
      }
      case 0x7b: // {
      case 0x5b: // [
        depth++;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        if (--depth === 0) end(i);
        break;
      case 0x2c: // ,
        if (depth === 1) end(i);
        break;
      default:
    }
  }
  return places;
}
