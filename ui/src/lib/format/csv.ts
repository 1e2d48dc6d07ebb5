/** Rows as comma-separated values with a header; a value with a comma, quote or line break is quoted. */
export function toCsv(header: string[], rows: (string | number | null)[][]): string {
  return [header, ...rows].map((row) => row.map(cell).join(',')).join('\n');
}

function cell(value: string | number | null): string {
  const text = value === null ? '' : String(value);
  // A spreadsheet would run a text that begins like a formula; records hold what anybody typed.
  const safe = /^[=+\-@\t]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
