/** Rejected records of the scripted org. */
import type { RejectView, RejectsView } from '../shapes';
import { at } from './clock';

const allRejects: RejectView[] = [
  [
    '01t7Y00000TiCm0QAF',
    'GC1040 Gigabit Connect',
    'sku-taken',
    'SKU GC1040 is held by 01t7Y00000TiAa1QAF, which is older',
    '01t7Y00000TiAa1QAF',
  ],
  [
    '01t7Y00000TiCm1QAF',
    'Static IPv4 /29',
    'no-sku',
    'Neither StockKeepingUnit nor ProductCode has a value',
    null,
  ],
  [
    '01t7Y00000TiCm2QAF',
    'VPN Site Connect EU-West',
    'no-sku',
    'Neither StockKeepingUnit nor ProductCode has a value',
    null,
  ],
].map(([recordId, name, reason, explanation, other]) => ({
  object: 'Product2',
  recordId: recordId ?? '',
  name: name ?? null,
  reason: reason ?? '',
  explanation: explanation ?? '',
  cure:
    reason === 'sku-taken'
      ? 'Give one of the two products another code in Salesforce'
      : 'Give the product a code in Salesforce',
  otherRecordId: other ?? null,
  since: at(2_900),
  lastTriedAt: at(40),
  url: `https://halden--uat.sandbox.my.salesforce.com/${recordId}`,
}));

export function rejects(object: string | null): RejectsView {
  const chosen = allRejects.filter((one) => !object || one.object === object);
  return {
    rejects: chosen,
    total: chosen.length,
    reasons: [
      { object: 'Product2', reason: 'no-sku', records: 2 },
      { object: 'Product2', reason: 'sku-taken', records: 1 },
    ],
  };
}
