// Conversations: text without markup, companies as groups, tags as they are put on.
const plain = (html) => html.replace(/<[^>]*>/g, ' ').replace(/&amp;/g, '&').replace(/\s+/g, ' ').trim();

async function onRequest(request) {
  const { topic, data, created_at: createdAt } = request.json();
  if (topic === 'ping') throw new DropEvent('ping');
  const { item } = data;
  if (item.pending) throw new RetryError(`${item.type} ${item.id} is not complete yet`);
  const timestamp = createdAt * 1000;
  switch (topic) {
    case 'conversation.user.created':
    case 'conversation.user.replied': {
      const parts = item.conversation_parts.map((part) => ({ text: plain(part.body), by: part.author.type }));
      Segment.track({
        event: topic.endsWith('created') ? 'Conversation Started' : 'Conversation Continued',
        userId: item.user.user_id,
        anonymousId: item.user.anonymous_id,
        timestamp,
        properties: { conversation: item.id, parts, first: parts[0]?.text ?? '' },
      });
      break;
    }
    case 'user.tag.created':
      Segment.identify({ userId: item.user.user_id, traits: { tags: item.user.tags, [`tag_${item.tag.name}`]: true }, timestamp });
      for (const company of item.user.companies) {
        Segment.group({ userId: item.user.user_id, groupId: company.company_id, traits: company.custom_attributes, timestamp });
      }
      break;
    default:
      throw new EventNotSupported(`Topic ${topic}`);
  }
}
