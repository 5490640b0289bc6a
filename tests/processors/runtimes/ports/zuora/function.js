// Callouts: what happened is a parameter of the URL, the rest is flat JSON with names of our own choice.
const totals = {};

async function onRequest(request, { currency, accounts }) {
  const happened = request.url.searchParams.get('event');
  const tags = request.url.searchParams.getAll('tag');
  if (!happened) throw new ValidationError('The callout URL needs ?event=');
  const callout = request.json();
  if (!callout.accountId) throw new InvalidEventPayload('accountId is missing');

  const account = accounts.find((known) => known.id === callout.accountId);
  const amount = Number(callout.amount);
  totals[callout.accountId] = (totals[callout.accountId] || 0) + amount;
  Segment.track({
    event: happened,
    userId: callout.accountId,
    properties: {
      revenue: happened === 'PaymentProcessed' ? amount : -amount,
      total: totals[callout.accountId],
      currency: callout.currency || currency,
      tags,
      large: amount >= 1000,
    },
    integrations: { All: true, Warehouse: { table: 'payments' } },
  });
  Segment.group({ userId: callout.accountId, groupId: account ? account.group : 'none', traits: { ltv: totals[callout.accountId] } });
  if (happened === 'AccountMerged') Segment.alias({ userId: callout.accountId, previousId: callout.mergedId });
}
