const words: Record<string, string> = {
  'no-sku': 'no SKU',
  'sku-taken': 'SKU is taken',
  'missing-product': 'product is missing',
  'price-not-exact': 'price cannot be held exactly',
  'broken-value': 'broken value',
};

/** A reason for rejection in words; reasons that are new to this window show their stable word. */
export function reasonWords(reason: string): string {
  return words[reason] ?? reason.replaceAll('-', ' ');
}
