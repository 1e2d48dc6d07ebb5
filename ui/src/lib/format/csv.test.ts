import { expect, it } from 'vitest';
import { toCsv } from './csv';

it('quotes what would break a line apart', () => {
  expect(
    toCsv(
      ['id', 'name'],
      [
        ['01t1', 'Fibre "Home", 500'],
        ['01t2', null],
      ],
    ),
  ).toBe('id,name\n01t1,"Fibre ""Home"", 500"\n01t2,');
});

it('lets no text begin like a formula', () => {
  expect(toCsv(['name'], [['=1+1']])).toBe("name\n'=1+1");
});
