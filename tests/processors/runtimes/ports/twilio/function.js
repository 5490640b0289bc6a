// Text messages: the body is a form.
async function onRequest(request, settings) {
  const form = new URLSearchParams(request.text());
  const sid = form.get('MessageSid');
  if (!sid) throw new InvalidEventPayload('MessageSid is missing');
  if (form.get('AccountSid') !== settings.account) throw new ValidationError('The account is not ours');
  const phone = form.get('From');
  const media = Number.parseInt(form.get('NumMedia') || '0', 10);
  const urls = Array.from({ length: media }, (_, index) => form.get(`MediaUrl${index}`));
  const text = form.get('Body') || '';
  const command = text.trim().toUpperCase();
  if (command === 'STOP' || command === 'START') {
    Segment.identify({ anonymousId: phone, traits: { phone, subscribed: command === 'START' } });
  }
  Segment.track({
    event: `SMS ${form.get('SmsStatus')}`,
    anonymousId: phone,
    messageId: sid,
    properties: { text, characters: [...text].length, words: text.split(/\s+/).filter(Boolean).length, media: urls, country: form.get('FromCountry') },
  });
  Segment.screen({ anonymousId: phone, name: 'Conversation', properties: { to: form.get('To') } });
}
