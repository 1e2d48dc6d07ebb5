import type { Component } from 'svelte';

/** One line of the palette. */
export interface Entry {
  group: 'Acts' | 'Go to' | 'Environments';
  text: string;
  /** What it costs, or where it leads. */
  note: string;
  icon: Component;
  keys?: string[];
  /** Why it cannot be done now. */
  hindered?: string | false;
  run: () => void;
}

export interface Piece {
  text: string;
  isMatch: boolean;
}

/** Entries that contain every word sought, in their order; a match at the start of a word comes first in its group. */
export function matching(entries: Entry[], sought: string): Entry[] {
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return entries;
  const found = entries.filter((entry) => words.every((word) => entry.text.toLowerCase().includes(word)));
  const starts = (entry: Entry) => ` ${entry.text.toLowerCase()}`.includes(` ${words[0]}`);
  const groups = ['Acts', 'Go to', 'Environments'];
  return found.sort(
    (a, b) => groups.indexOf(a.group) - groups.indexOf(b.group) || Number(starts(b)) - Number(starts(a)),
  );
}

/** A text cut where it matches the first word sought, for underlining. */
export function pieces(text: string, sought: string): Piece[] {
  const word = sought.trim().toLowerCase().split(/\s+/)[0] ?? '';
  const at = word ? text.toLowerCase().indexOf(word) : -1;
  if (at < 0) return [{ text, isMatch: false }];
  return [
    { text: text.slice(0, at), isMatch: false },
    { text: text.slice(at, at + word.length), isMatch: true },
    { text: text.slice(at + word.length), isMatch: false },
  ].filter((piece) => piece.text !== '');
}
