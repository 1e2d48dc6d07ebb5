import type { LagMark } from '$lib/api/shapes';
import { formatSeconds } from '$lib/format/time';

/** Closer than this, as a share of the width, two signs would lie on each other. */
const APART = 0.016;

export interface PlacedMark extends LagMark {
  /** Share of the width, 0 to 1. */
  share: number;
  /** What happened there, one entry for each mark that the sign stands for. */
  words: string[];
}

/** Marks at their places; those that would lie on each other share one sign, and a difference never hides. */
export function placeMarks(marks: LagMark[], from: number, until: number): PlacedMark[] {
  const placed: PlacedMark[] = [];
  const sorted = [...marks].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  for (const mark of sorted) {
    const share = (Date.parse(mark.at) - from) / (until - from);
    if (share < 0 || share > 1) continue;
    const words = `${mark.text}, ${formatSeconds(mark.at)}`;
    const last = placed.at(-1);
    if (!last || share - last.share >= APART) {
      placed.push({ ...mark, share, words: [words] });
      continue;
    }
    last.words.push(words);
    if (mark.agrees === false) Object.assign(last, { kind: mark.kind, agrees: false });
  }
  return placed;
}
