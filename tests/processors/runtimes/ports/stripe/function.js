// Payments: one track per charge or invoice, customers and subscriptions as rows.
const NAMES = {
  'charge.succeeded': 'Payment Received',
  'charge.refunded': 'Payment Refunded',
  'invoice.payment_failed': 'Payment Failed',
};

function toTime(seconds) {
  return new Date(seconds * 1000).toISOString();
}

async function onRequest(request, settings) {
  const hook = request.json();
  const item = hook.data && hook.data.object;
  if (!item) throw new InvalidEventPayload(`Event ${hook.id} has no object`);
  if (hook.livemode === false && !settings.testMode) throw new DropEvent('test mode');

  const name = NAMES[hook.type];
  if (name) {
    Segment.track({
      event: name,
      userId: item.customer,
      timestamp: toTime(hook.created),
      messageId: hook.id,
      properties: {
        revenue: item.amount / 100,
        currency: item.currency.toUpperCase(),
        description: item.description,
        metadata: item.metadata,
      },
    });
  } else if (hook.type.startsWith('customer.subscription.')) {
    Segment.set({
      collection: 'subscriptions',
      id: item.id,
      properties: {
        customer: item.customer,
        status: item.status,
        plans: item.items.data.map((line) => line.plan.nickname || line.plan.id),
        started_at: toTime(item.start_date),
      },
    });
  } else if (hook.type.startsWith('customer.')) {
    const traits = { email: item.email, name: item.name, delinquent: item.delinquent };
    Segment.identify({ userId: item.id, traits, timestamp: toTime(hook.created) });
    Segment.set({ collection: 'customers', id: item.id, properties: traits });
  } else {
    throw new EventNotSupported(`${hook.type} is not supported`);
  }
}
