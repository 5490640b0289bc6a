// Surveys: the answers become traits, by the reference of their field.
const readers = {
  text: (answer) => answer.text,
  email: (answer) => answer.email,
  number: (answer) => answer.number,
  boolean: (answer) => answer.boolean,
  date: (answer) => new Date(answer.date),
  choice: (answer) => answer.choice.label ?? answer.choice.other,
  choices: (answer) => [...answer.choices.labels, ...(answer.choices.other ? [answer.choices.other] : [])],
};

function toTraits(answers) {
  return Object.fromEntries(answers.map((answer) => {
    const read = readers[answer.type];
    if (!read) throw new InvalidEventPayload(`Answers of type ${answer.type} are not known`);
    return [answer.field.ref, read(answer)];
  }));
}

const onRequest = async (request, settings) => {
  const hook = request.json();
  if (hook.event_type !== 'form_response') throw new EventNotSupported(hook.event_type);
  const response = hook.form_response;
  const hidden = response.hidden || {};
  const who = { userId: hidden.user_id, anonymousId: response.token };
  const traits = toTraits(response.answers);
  Segment.identify({ ...who, traits });
  Segment.page({
    ...who,
    name: response.definition.title,
    properties: { seconds: (new Date(response.submitted_at) - new Date(response.landed_at)) / 1000, score: response.calculated?.score },
  });
  if (traits[settings.npsField] <= 6) Segment.track({ ...who, event: 'Detractor Found', properties: { nps: traits[settings.npsField] } });
};
