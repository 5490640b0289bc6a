// Deals: every change as a row, what was won or lost as a track, and what changed as properties.
function changes(previous, current) {
  const changed = {};
  for (const key of Object.keys(current)) {
    if (previous && previous[key] !== current[key]) changed[key] = { from: previous[key] ?? null, to: current[key] };
  }
  return changed;
}

async function onRequest(request, settings) {
  const { meta, current, previous } = request.json();
  if (!meta) throw new InvalidEventPayload('meta is missing');
  if (meta.object !== 'deal') throw new EventNotSupported(`${meta.object} is not a deal`);
  if (meta.action === 'deleted') {
    Segment.set({ collection: 'deals', id: meta.id, properties: { deleted: true } });
    return;
  }

  const userId = `${settings.prefix}${current.person_id}`;
  Segment.set({
    collection: 'deals',
    id: current.id,
    properties: {
      title: current.title,
      value: current.value,
      currency: current.currency,
      stage: settings.stages[current.stage_id] || 'unknown',
      owner: current.owner_name,
      probability: current.probability,
    },
  });
  const wasDecided = previous && previous.status !== current.status && ['won', 'lost'].includes(current.status);
  if (wasDecided) {
    Segment.track({
      event: `Deal ${current.status === 'won' ? 'Won' : 'Lost'}`,
      userId,
      timestamp: current.update_time,
      properties: { deal: current.id, value: current.value, reason: current.lost_reason },
    });
  } else {
    Segment.track({ event: 'Deal Updated', userId, properties: { deal: current.id, changes: changes(previous, current) } });
  }
}
