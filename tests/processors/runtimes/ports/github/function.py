# Repository activity: a track per commit, issues as rows, the repository's owner as a group.
import segment
from segment import DropEvent, EventNotSupported


async def on_request(request, settings):
    kind = request.headers.get("X-GitHub-Event")
    if kind == "ping":
        raise DropEvent("ping")
    body = request.json()
    context = {"app": {"name": "github"}, "delivery": request.headers.get("x-github-delivery")}

    if kind == "push":
        for commit in body["commits"]:
            title, *rest = commit["message"].split("\n")
            segment.track(
                event="Commit Pushed",
                user_id=commit["author"].get("username"),
                anonymous_id=commit["author"]["email"],
                timestamp=commit["timestamp"],
                context=context,
                properties={
                    "sha": commit["id"][:7],
                    "title": title,
                    "hasBody": len(rest) > 0,
                    "files": sum(len(commit[change]) for change in ("added", "modified", "removed")),
                    "branch": body["ref"].replace("refs/heads/", ""),
                },
            )
        owner = body["repository"]["owner"]
        segment.group(
            user_id=body["pusher"]["name"],
            group_id=owner["login"],
            traits={"name": owner["name"], "private": body["repository"]["private"]},
            context=context,
        )
    elif kind == "issues":
        issue = body["issue"]
        segment.track(
            event=f"Issue {body['action']}",
            user_id=body["sender"]["login"],
            context=context,
            properties={"number": issue["number"]},
        )
        segment.set(
            collection="issues",
            id=issue["id"],
            properties={
                "title": issue["title"],
                "labels": sorted(label["name"] for label in issue["labels"]),
                "assignee": issue["assignee"] and issue["assignee"]["login"],
                "open": issue["state"] == "open",
                "closed_at": issue["closed_at"],
            },
        )
    else:
        raise EventNotSupported(f"no handler for {kind}")
