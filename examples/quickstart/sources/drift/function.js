// A conversation on the website: the event for the sales team, the contact as a row that later webhooks complete.
async function onRequest(request, settings) {
  const { type, orgId, data } = request.json()

  if (type !== 'new_conversation' && type !== 'conversation_status_updated') {
    throw new EventNotSupported(`${type} is not handled`)
  }
  if (!data.contactId) {
    throw new InvalidEventPayload('contactId is missing')
  }

  Segment.track({
    event: type === 'new_conversation' ? 'Conversation Started' : 'Conversation Status Changed',
    userId: `drift-${data.contactId}`,
    timestamp: new Date(data.createdAt),
    properties: {
      conversation_id: data.conversationId,
      status: data.status,
      inbox: data.inboxId,
      page: data.endUserPage,
      org_id: orgId,
      region: settings.region
    }
  })
  Segment.set({
    collection: 'contacts',
    id: data.contactId,
    properties: {
      email: data.contact && data.contact.email,
      name: data.contact && data.contact.name,
      last_conversation_id: data.conversationId,
      last_seen_at: new Date(data.createdAt).toISOString()
    }
  })
}
