// Contacts and companies: changes come in groups; those of one record become one row.
async function onRequest(request) {
  const rows = new Map();
  const changes = request.json();
  for (const change of changes.sort((a, b) => a.occurredAt - b.occurredAt)) {
    const [kind, what] = change.subscriptionType.split('.');
    if (kind !== 'contact' && kind !== 'company') throw new EventNotSupported(`${kind} is not supported`);
    const key = `${kind}:${change.objectId}`;
    if (!rows.has(key)) rows.set(key, { collection: kind === 'contact' ? 'contacts' : 'companies', id: change.objectId, properties: {} });
    const { properties } = rows.get(key);
    if (what === 'propertyChange') {
      const text = change.propertyValue;
      properties[change.propertyName] = /^-?\d+$/.test(text) ? parseInt(text, 10) : text === '' ? null : text;
    }
    properties.deleted = what === 'deletion';
    Segment.track({
      event: `${kind} ${what}`,
      userId: change.objectId,
      timestamp: change.occurredAt,
      properties: { attempt: change.attemptNumber + 1, source: change.changeSource.toLowerCase() },
    });
  }
  for (const row of rows.values()) Segment.set(row);
}
