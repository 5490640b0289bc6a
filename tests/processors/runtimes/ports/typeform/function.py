# Surveys: the answers become traits, by the reference of their field.
from datetime import datetime

import segment
from segment import EventNotSupported, InvalidEventPayload


def choice(answer):
    return answer["choice"].get("label") or answer["choice"].get("other")


def choices(answer):
    other = answer["choices"].get("other")
    return [*answer["choices"]["labels"], *([other] if other else [])]


READERS = {
    "text": lambda answer: answer["text"],
    "email": lambda answer: answer["email"],
    "number": lambda answer: answer["number"],
    "boolean": lambda answer: answer["boolean"],
    "date": lambda answer: datetime.fromisoformat(answer["date"]),
    "choice": choice,
    "choices": choices,
}


def to_traits(answers):
    traits = {}
    for answer in answers:
        read = READERS.get(answer["type"])
        if not read:
            raise InvalidEventPayload(f"Answers of type {answer['type']} are not known")
        traits[answer["field"]["ref"]] = read(answer)
    return traits


def seconds_between(start, end):
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


async def on_request(request, settings):
    hook = request.json()
    if hook["event_type"] != "form_response":
        raise EventNotSupported(hook["event_type"])
    response = hook["form_response"]
    who = {"user_id": response.get("hidden", {}).get("user_id"), "anonymous_id": response["token"]}
    traits = to_traits(response["answers"])
    segment.identify(**who, traits=traits)
    properties = {"seconds": seconds_between(response["landed_at"], response["submitted_at"])}
    if "calculated" in response:
        properties["score"] = response["calculated"]["score"]
    segment.page(**who, name=response["definition"]["title"], properties=properties)
    nps = traits.get(settings["npsField"])
    if nps is not None and nps <= 6:
        segment.track(**who, event="Detractor Found", properties={"nps": nps})
