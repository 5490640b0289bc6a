// Mail: one webhook carries many events; a user is known by the digest of the address.
const NAMES = { delivered: 'Email Delivered', open: 'Email Opened', click: 'Email Clicked', bounce: 'Email Bounced' };

async function onRequest(request) {
  const events = request.json();
  if (!Array.isArray(events)) throw new InvalidEventPayload('An array was expected');
  let skipped = 0;
  for (const event of events) {
    const name = NAMES[event.event];
    if (!name) {
      skipped += 1;
      continue;
    }
    const email = event.email.trim().toLowerCase();
    const categories = [].concat(event.category ?? []);
    Segment.track({
      event: name,
      userId: crypto.createHash('md5').update(email).digest('hex'),
      messageId: event.sg_event_id,
      timestamp: new Date(event.timestamp * 1000),
      context: { ip: event.ip, userAgent: event.useragent },
      properties: {
        domain: email.split('@')[1],
        categories,
        url: event.url && decodeURIComponent(event.url),
        reason: event.reason,
        code: atob(event.campaign || ''),
      },
    });
  }
  console.log(`${events.length} events, ${skipped} skipped`);
}
