// A deal that is won starts the onboarding of its company: one event for the campaign, one row for analysis.
async function onRequest(request, settings) {
  const { meta, current, previous } = request.json()

  if (meta.object !== 'deal') {
    throw new EventNotSupported(`${meta.action}.${meta.object} is not handled`)
  }

  Segment.set({
    collection: 'deals',
    id: current.id,
    properties: {
      title: current.title,
      status: current.status,
      value: current.value,
      currency: current.currency,
      owner: current.owner_name,
      organization: current.org_name,
      won_at: current.won_time
    }
  })

  const isNewlyWon = current.status === 'won' && (!previous || previous.status !== 'won')
  if (isNewlyWon) {
    Segment.track({
      event: settings.won_event,
      userId: current.person_id,
      properties: {
        deal_id: current.id,
        title: current.title,
        revenue: current.value,
        currency: current.currency
      }
    })
  }
}
