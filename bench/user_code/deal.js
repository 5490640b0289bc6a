async function onRequest(request) {
  const { event, current } = request.json()
  Segment.track({ event, userId: `user-${current.id}`, properties: { value: current.value, currency: current.currency } })
  Segment.set({ collection: 'deals', id: `${current.id}`, properties: { status: current.status, value: current.value } })
}
