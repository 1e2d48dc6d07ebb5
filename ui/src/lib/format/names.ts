/** What people call the records of an object: `price book entries`. Objects without a name of their own keep their API name. */
export function recordsOf(object: string): string {
  const known: Record<string, string> = {
    Product2: 'products',
    PricebookEntry: 'price book entries',
    Account: 'accounts',
  };
  return known[object] ?? `${object} records`;
}

/** A list in a sentence: `Product2, PricebookEntry and Account`. */
export function listed(names: string[]): string {
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`;
}

/** A long key with its middle left out: `3MVG9…xQ7c`. */
export function shortened(key: string): string {
  return key.length <= 12 ? key : `${key.slice(0, 5)}…${key.slice(-4)}`;
}
