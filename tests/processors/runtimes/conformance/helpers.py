"""`Segment.*`: what a helper requires, what it takes, what it leaves out, and what it queues (R33 to R46)."""

from processors.runtimes.contract import Status
from tests.processors.runtimes.conformance.case import Case, caught, handler, rejected, throws, track, value

_NO_IDENTITY = "One of userId,anonymousId is required but not defined"
_USER = {"type": "identify", "userId": "1"}

_REQUIRED = [
    rejected(
        "R33", "track needs an event", "Segment.track({userId: '1'})", "segment.track(user_id='1')",
        message="event is required but not defined",
    ),
    rejected(
        "R33", "an empty event is none", "Segment.track({event: '', userId: '1'})",
        "segment.track(event='', user_id='1')", message="event is required but not defined",
    ),
    rejected(
        "R33", "group needs its id", "Segment.group({userId: '1'})", "segment.group(user_id='1')",
        message="groupId is required but not defined",
    ),
    rejected(
        "R33", "an empty group id is none", "Segment.group({groupId: '', userId: '1'})",
        "segment.group(group_id='', user_id='1')", message="groupId is required but not defined",
    ),
    rejected(
        "R33", "alias needs the previous id", "Segment.alias({userId: '1'})", "segment.alias(user_id='1')",
        message="previousId is required but not defined",
    ),
    rejected(
        "R33", "set needs a collection", "Segment.set({id: '1'})", "segment.set(id='1')",
        message="collection is required but not defined",
    ),
    rejected(
        "R33", "set needs an id", "Segment.set({collection: 'c'})", "segment.set(collection='c')",
        message="id is required but not defined",
    ),
    rejected(
        "R33", "set with an empty id has none", "Segment.set({collection: 'c', id: ''})",
        "segment.set(collection='c', id='')", message="id is required but not defined",
    ),
    rejected(
        "ours", "delete needs a collection", "Segment.delete({id: '1'})", "segment.delete(id='1')",
        message="collection is required but not defined",
    ),
    rejected(
        "ours", "delete needs an id", "Segment.delete({collection: 'c', id: ''})", "segment.delete(collection='c')",
        message="id is required but not defined",
    ),
    rejected(
        "R33", "what a helper requires is looked at before the user", "Segment.track({})", "segment.track()",
        message="event is required but not defined",
    ),
    rejected(
        "R33", "undefined is not defined", "Segment.track({event: undefined, userId: '1'})",
        "segment.track(event=None, user_id='1')", message="event is required but not defined",
    ),
]  # fmt: skip

_IDENTITY = [
    rejected(
        "R37" if helper == "identify" else "R45" if helper in {"group", "page", "screen"} else "R33",
        f"{helper} needs a user", f"Segment.{helper}({{{javascript}}})", f"segment.{helper}({python})",
        message=_NO_IDENTITY,
    )
    for helper, javascript, python in (
        ("identify", "traits: {a: 1}", "traits={'a': 1}"),
        ("track", "event: 'A'", "event='A'"),
        ("page", "name: 'Home'", "name='Home'"),
        ("screen", "name: 'Home'", "name='Home'"),
        ("group", "groupId: 'g'", "group_id='g'"),
        ("alias", "previousId: '0'", "previous_id='0'"),
    )
]  # fmt: skip

_USERS = [
    rejected(
        "R33", f"the user id {javascript} is none", f"Segment.identify({{userId: {javascript}}})",
        f"segment.identify(user_id={python})" if python else "", message=_NO_IDENTITY,
    )
    for javascript, python in (("0", "0"), ("''", "''"), ("null", "None"), ("false", "False"), ("NaN", ""))
] + [
    handler(
        "R33", "an anonymous id is a user", "Segment.identify({anonymousId: 'x'})",
        "segment.identify(anonymous_id='x')", events=[{"type": "identify", "anonymousId": "x"}],
    ),
    handler(
        "R33", "an anonymous id stands in for an empty user id", "Segment.identify({userId: '', anonymousId: 'x'})",
        "segment.identify(user_id='', anonymous_id='x')", events=[{"type": "identify", "anonymousId": "x"}],
    ),
]  # fmt: skip

_SHAPES = [
    handler(
        "R46", "track has type, event and user", "Segment.track({event: 'A', userId: '1'})",
        "segment.track(event='A', user_id='1')", events=[track()],
    ),
    handler(
        "R46", "identify has traits", "Segment.identify({userId: '1', traits: {a: 1}})",
        "segment.identify(user_id='1', traits={'a': 1})", events=[{**_USER, "traits": {"a": 1}}],
    ),
    handler(
        "R46", "group has its id and traits", "Segment.group({groupId: 'g', anonymousId: '1', traits: {a: 1}})",
        "segment.group(group_id='g', anonymous_id='1', traits={'a': 1})",
        events=[{"type": "group", "groupId": "g", "anonymousId": "1", "traits": {"a": 1}}],
    ),
    handler(
        "R46", "page has a name and properties", "Segment.page({name: 'Home', userId: '1', properties: {a: 1}})",
        "segment.page(name='Home', user_id='1', properties={'a': 1})",
        events=[{"type": "page", "name": "Home", "userId": "1", "properties": {"a": 1}}],
    ),
    handler(
        "R46", "screen has a name and properties", "Segment.screen({name: 'Home', userId: '1', properties: {a: 1}})",
        "segment.screen(name='Home', user_id='1', properties={'a': 1})",
        events=[{"type": "screen", "name": "Home", "userId": "1", "properties": {"a": 1}}],
    ),
    handler(
        "R46", "page and screen do without a name", "Segment.page({userId: '1'}); Segment.screen({userId: '1'})",
        "segment.page(user_id='1'); segment.screen(user_id='1')",
        events=[{"type": "page", "userId": "1"}, {"type": "screen", "userId": "1"}],
    ),
    handler(
        "R46", "alias has the previous id", "Segment.alias({previousId: '0', userId: '1'})",
        "segment.alias(previous_id='0', user_id='1')", events=[{"type": "alias", "previousId": "0", "userId": "1"}],
    ),
    handler(
        "R46", "set makes an object", "Segment.set({collection: 'deals', id: 7, properties: {a: {b: 1.5}}})",
        "segment.set(collection='deals', id=7, properties={'a': {'b': 1.5}})",
        objects=[{"collection": "deals", "id": 7, "properties": {"a": {"b": 1.5}}}],
    ),
    handler(
        "R46", "set does without properties", "Segment.set({collection: 'deals', id: '7'})",
        "segment.set(collection='deals', id='7')", objects=[{"collection": "deals", "id": "7"}],
    ),
    handler(
        "ours", "delete makes an object that is marked", "Segment.delete({collection: 'deals', id: 7})",
        "segment.delete(collection='deals', id=7)", objects=[{"collection": "deals", "id": 7, "deleted": True}],
    ),
    handler(
        "ours", "delete takes its place among the calls of set",
        """
        Segment.set({collection: 'deals', id: 7}); Segment.delete({collection: 'deals', id: 7})
        Segment.set({collection: 'deals', id: 7, properties: {a: 1}})
        """,
        """
        segment.set(collection='deals', id=7); segment.delete(collection='deals', id=7)
        segment.set(collection='deals', id=7, properties={'a': 1})
        """,
        objects=[
            {"collection": "deals", "id": 7}, {"collection": "deals", "id": 7, "deleted": True},
            {"collection": "deals", "id": 7, "properties": {"a": 1}},
        ],
    ),
    handler(
        "R46", "messages keep the order of the calls",
        "for (const event of ['a', 'b', 'c']) { Segment.track({event, userId: '1'}); await null }",
        """
        import asyncio
        for event in ['a', 'b', 'c']:
            segment.track(event=event, user_id='1')
            await asyncio.sleep(0)
        """,
        events=[track(event=event) for event in "abc"],
    ),
    handler(
        "R46", "characters of any plane survive", "Segment.track({event: 'Grüße 🎉\\u2028', userId: '1'})",
        "segment.track(event='Grüße 🎉\\u2028', user_id='1')", events=[track(event="Grüße 🎉\u2028")],
    ),
]  # fmt: skip

_COMMON = [
    handler(
        "R34", "every common field is carried",
        """
        Segment.track({event: 'A', userId: '1', anonymousId: '2', context: {ip: '::1'}, integrations: {All: false},
          messageId: 'm', timestamp: '2020-01-01T00:00:00Z', sentAt: 's'})
        """,
        """
        segment.track(event='A', user_id='1', anonymous_id='2', context={'ip': '::1'}, integrations={'All': False},
            message_id='m', timestamp='2020-01-01T00:00:00Z', sent_at='s')
        """,
        events=[
            track(
                anonymousId="2", context={"ip": "::1"}, integrations={"All": False}, messageId="m",
                timestamp="2020-01-01T00:00:00Z", sentAt="s",
            )
        ],
    ),
    handler(
        "R34", "falsy common fields are left out",
        "Segment.track({event: 'A', userId: '1', anonymousId: 0, context: false, messageId: '', timestamp: null})",
        "segment.track(event='A', user_id='1', anonymous_id=0, context=False, message_id='', timestamp=None)",
        events=[track()],
    ),
    handler(
        "R34", "empty objects and lists are not falsy",
        "Segment.track({event: 'A', userId: '1', properties: {}, context: {}, integrations: []})",
        "segment.track(event='A', user_id='1', properties={}, context={}, integrations=[])",
        events=[track(properties={}, context={}, integrations=[])],
    ),
    handler(
        "R33", "falsy traits and properties are left out",
        "Segment.identify({userId: '1', traits: null}); Segment.track({event: 'A', userId: '1', properties: 0})",
        "segment.identify(user_id='1', traits=None); segment.track(event='A', user_id='1', properties=0)",
        events=[_USER, track()],
    ),
    handler(
        "R33", "a falsy name is left out", "Segment.page({userId: '1', name: ''})",
        "segment.page(user_id='1', name='')", events=[{"type": "page", "userId": "1"}],
    ),
    handler(
        "R33", "falsy properties of an object are left out",
        "Segment.set({collection: 'c', id: 1, properties: null})",
        "segment.set(collection='c', id=1, properties=None)", objects=[{"collection": "c", "id": 1}],
    ),
    handler(
        "R35", "only the type is filled in", "Segment.identify({userId: '1'})", "segment.identify(user_id='1')",
        events=[_USER],
    ),
    handler(
        "R35", "a type given is not taken", "Segment.track({type: 'page', event: 'A', userId: '1'})", events=[track()]
    ),
]  # fmt: skip

_DROPPED = [
    handler(
        "R36", f"{helper} drops {what}", f"Segment.{helper}({{userId: '1', {needed}{given}}})", events=[event]
    )
    for helper, needed, what, given, event in (
        ("page", "", "category", "category: 'c'", {"type": "page", "userId": "1"}),
        ("screen", "", "category", "category: 'c'", {"type": "screen", "userId": "1"}),
        ("identify", "", "properties", "properties: {a: 1}", _USER),
        ("identify", "", "channel, version and unknown keys", "channel: 's', version: 2, other: 1", _USER),
        ("track", "event: 'A', ", "traits", "traits: {a: 1}", track()),
        ("track", "event: 'A', ", "its other times", "receivedAt: 'x', originalTimestamp: 'y'", track()),
        ("alias", "previousId: '0', ", "traits", "traits: {a: 1}", {"type": "alias", "userId": "1", "previousId": "0"}),
    )
] + [
    handler(
        "R36", "set drops unknown keys", "Segment.set({collection: 'c', id: 1, userId: '1', traits: {}})",
        objects=[{"collection": "c", "id": 1}],
    ),
    handler(
        "ours", "delete drops properties", "Segment.delete({collection: 'c', id: 1, properties: {a: 1}})",
        objects=[{"collection": "c", "id": 1, "deleted": True}],
    ),
]  # fmt: skip

_UNCHECKED = [
    handler(
        "R38", "a user id may be a number, and stays one", "Segment.track({event: 'A', userId: 12})",
        "segment.track(event='A', user_id=12)", events=[track(userId=12)],
    ),
    handler("R38", "the event may be null", "Segment.track({event: null, userId: '1'})", events=[track(event=None)]),
    handler(
        "R38", "the event may be 0", "Segment.track({event: 0, userId: '1'})", "segment.track(event=0, user_id='1')",
        events=[track(event=0)],
    ),
    handler(
        "R38", "the id of an object may be 0", "Segment.set({collection: 'c', id: 0})",
        "segment.set(collection='c', id=0)", objects=[{"collection": "c", "id": 0}],
    ),
    handler(
        "R38", "the id of an object may be null", "Segment.set({collection: 'c', id: null})",
        objects=[{"collection": "c", "id": None}],
    ),
    handler(
        "R38", "a collection may have any name", "Segment.set({collection: 'Bad Name!', id: 1})",
        "segment.set(collection='Bad Name!', id=1)", objects=[{"collection": "Bad Name!", "id": 1}],
    ),
    handler(
        "R38", "times are not checked", "Segment.track({event: 'A', userId: '1', timestamp: 'yesterday'})",
        "segment.track(event='A', user_id='1', timestamp='yesterday')", events=[track(timestamp="yesterday")],
    ),
    handler(
        "R38", "properties may be nested", "Segment.set({collection: 'c', id: 1, properties: {a: [{b: [null]}]}})",
        "segment.set(collection='c', id=1, properties={'a': [{'b': [None]}]})",
        objects=[{"collection": "c", "id": 1, "properties": {"a": [{"b": [None]}]}}],
    ),
]  # fmt: skip

_NO_ARGUMENT = [
    caught(
        "R39", f"{helper} without an argument throws a plain TypeError", f"Segment.{helper}()",
        "[error.name, error instanceof TypeError, error instanceof ValidationError]", is_=["TypeError", True, False],
    )
    for helper in ("identify", "track", "page", "screen", "group", "alias", "set", "delete")
]  # fmt: skip

_COPIES = [
    handler(
        "R40", "a helper returns the event it queued",
        "Segment.track({event: 'A', userId: '1'}).userId = '2'",
        "segment.track(event='A', user_id='1')['userId'] = '2'",
        events=[track(userId="2")],
    ),
    handler(
        "R40", "set returns the object it queued", "Segment.set({collection: 'c', id: 1}).id = 2",
        "segment.set(collection='c', id=1)['id'] = 2", objects=[{"collection": "c", "id": 2}],
    ),
    handler(
        "ours", "delete returns the object it queued", "Segment.delete({collection: 'c', id: 1}).id = 2",
        "segment.delete(collection='c', id=1)['id'] = 2", objects=[{"collection": "c", "id": 2, "deleted": True}],
    ),
    handler(
        "R41", "properties are kept by reference",
        "const properties = {a: 1}; Segment.track({event: 'A', userId: '1', properties}); properties.a = 2",
        "p = {'a': 1}; segment.track(event='A', user_id='1', properties=p); p['a'] = 2",
        events=[track(properties={"a": 2})],
    ),
    handler(
        "R41", "traits are kept by reference",
        "const traits = {a: 1}; Segment.identify({userId: '1', traits}); traits.a = 2",
        "t = {'a': 1}; segment.identify(user_id='1', traits=t); t['a'] = 2",
        events=[{**_USER, "traits": {"a": 2}}],
    ),
    handler(
        "R41", "properties of an object are kept by reference",
        "const properties = {a: 1}; Segment.set({collection: 'c', id: 1, properties}); properties.a = 2",
        "p = {'a': 1}; segment.set(collection='c', id=1, properties=p); p['a'] = 2",
        objects=[{"collection": "c", "id": 1, "properties": {"a": 2}}],
    ),
    handler(
        "R41", "context is copied at every level",
        """
        const context = {a: {b: [{c: 1}]}};
        Segment.track({event: 'A', userId: '1', context});
        context.a.b[0].c = 2; context.a.b.push(3); context.d = 4
        """,
        """
        context = {'a': {'b': [{'c': 1}]}}
        segment.track(event='A', user_id='1', context=context)
        context['a']['b'][0]['c'] = 2; context['a']['b'].append(3); context['d'] = 4
        """,
        events=[track(context={"a": {"b": [{"c": 1}]}})],
    ),
    handler(
        "R41", "integrations are copied at every level",
        """
        const integrations = {All: false, Slack: {on: true}};
        Segment.track({event: 'A', userId: '1', integrations});
        integrations.Slack.on = false
        """,
        """
        integrations = {'All': False, 'Slack': {'on': True}}
        segment.track(event='A', user_id='1', integrations=integrations)
        integrations['Slack']['on'] = False
        """,
        events=[track(integrations={"All": False, "Slack": {"on": True}})],
    ),
    value(
        "R41", "keys without a value survive the copy of the context",
        "Object.keys(Segment.track({event: 'A', userId: '1', context: {a: undefined, b: null}}).context)",
        is_=["a", "b"], events=[track(context={"b": None})],
    ),
    handler(
        "R41", "what is no plain object is kept as it is in the copy of the context",
        """
        class Money { toJSON() { return '1 EUR' } }
        Segment.track({event: 'A', userId: '1', context: {at: new Date(0), price: new Money()}})
        """,
        events=[track(context={"at": "1970-01-01T00:00:00.000Z", "price": "1 EUR"})],
    ),
    handler(
        "R41", "a key named __proto__ is only a key",
        """
        const context = JSON.parse('{"__proto__": {"polluted": true}}')
        Segment.track({event: String({}.polluted), userId: '1', context})
        """,
        events=[track(event="undefined", context={"__proto__": {"polluted": True}})],
    ),
    caught(
        "R42", "a helper taken off Segment fails with a TypeError",
        "const {track} = Segment; track({event: 'A', userId: '1'})", "error.name", is_="TypeError",
    ),
    handler(
        "R43", "what is queued can be seen as arrays",
        """
        Segment.track({event: 'A', userId: '1'}); Segment.set({collection: 'c', id: 1})
        Segment.track({event: [Array.isArray(Segment.events), Segment.events.length, Segment.objects[0].id],
          userId: '1'})
        """,
        """
        segment.track(event='A', user_id='1'); segment.set(collection='c', id=1)
        segment.track(event=[isinstance(segment.events, list), len(segment.events), segment.objects[0]['id']],
            user_id='1')
        """,
        events=[track(), track(event=[True, 1, 1])],
        objects=[{"collection": "c", "id": 1}],
    ),
    handler(
        "R43", "what is queued can be taken back",
        "Segment.track({event: 'A', userId: '1'}); Segment.identify({userId: '1'}); Segment.events.shift()",
        "segment.track(event='A', user_id='1'); segment.identify(user_id='1'); segment.events.pop(0)",
        events=[_USER],
    ),
    handler(
        "R43", "messages put into the arrays count to the limit",
        "for (let n = 0; n < 1001; n++) Segment.events.push({type: 'track', event: 'A', userId: '1'})",
        status=Status.TOO_LARGE, error=("TooLarge", "The function sent more than 1000 messages."),
    ),
    handler(
        "R44", "a date is written in ISO 8601",
        "Segment.track({event: 'A', userId: '1', timestamp: new Date(Date.UTC(2020, 0, 2, 3, 4, 5, 678))})",
        """
        from datetime import UTC, datetime
        segment.track(event='A', user_id='1', timestamp=datetime(2020, 1, 2, 3, 4, 5, 678_000, UTC))
        """,
        events=[track(timestamp="2020-01-02T03:04:05.678Z")],
    ),
]  # fmt: skip

_WITHOUT_A_FORM = [
    throws(
        "R46", "a BigInt is named with its place",
        "Segment.track({event: 'A', userId: '1', properties: {items: [{price: 1n}]}})",
        error=("TypeError", "Segment.track: properties.items[0].price is a BigInt, which JSON has no form for."),
    ),
    throws(
        "R46", "a circle is named with its place",
        "const a = {}; a.a = a; Segment.group({groupId: '1', userId: '1', traits: a})",
        error=("TypeError", "Segment.group: traits.a refers back to what it is in."),
    ),
    throws(
        "ours", "the id of a deleted object is named with its helper", "Segment.delete({collection: 'c', id: 1n})",
        error=("TypeError", "Segment.delete: id is a BigInt, which JSON has no form for."),
    ),
]  # fmt: skip

CASES: list[Case] = [
    *_REQUIRED, *_IDENTITY, *_USERS, *_SHAPES, *_COMMON, *_DROPPED, *_UNCHECKED, *_NO_ARGUMENT, *_COPIES,
    *_WITHOUT_A_FORM,
]  # fmt: skip
