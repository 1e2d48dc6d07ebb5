import { expect, it } from 'vitest';
import { listed, recordsOf, shortened } from './names';

it('objects that we know have names that people use', () => {
  expect(recordsOf('PricebookEntry')).toBe('price book entries');
  expect(recordsOf('Asset')).toBe('Asset records');
});

it('lists read as a sentence', () => {
  expect(listed([])).toBe('');
  expect(listed(['Account'])).toBe('Account');
  expect(listed(['Product2', 'PricebookEntry', 'Account'])).toBe('Product2, PricebookEntry and Account');
});

it('long keys lose their middle, short ones nothing', () => {
  expect(shortened('3MVG9k0Zb7Qh2rT1uYpWc4xVn8sLxQ7c')).toBe('3MVG9…xQ7c');
  expect(shortened('demo-app')).toBe('demo-app');
});
