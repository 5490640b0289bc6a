// Repository activity: a track per commit, issues as rows, the repository's owner as a group.
async function onRequest(request) {
  const kind = request.headers.get('X-GitHub-Event');
  if (kind === 'ping') throw new DropEvent('ping');
  const body = request.json();
  const context = { app: { name: 'github' }, delivery: request.headers.get('x-github-delivery') };

  if (kind === 'push') {
    for (const commit of body.commits) {
      const [title, ...rest] = commit.message.split('\n');
      Segment.track({
        event: 'Commit Pushed',
        userId: commit.author.username,
        anonymousId: commit.author.email,
        timestamp: commit.timestamp,
        context,
        properties: {
          sha: commit.id.slice(0, 7),
          title,
          hasBody: rest.length > 0,
          files: commit.added.length + commit.modified.length + commit.removed.length,
          branch: body.ref.replace('refs/heads/', ''),
        },
      });
    }
    Segment.group({
      userId: body.pusher.name,
      groupId: body.repository.owner.login,
      traits: { name: body.repository.owner.name, private: body.repository.private },
      context,
    });
  } else if (kind === 'issues') {
    const { issue } = body;
    Segment.track({ event: `Issue ${body.action}`, userId: body.sender.login, context, properties: { number: issue.number } });
    Segment.set({
      collection: 'issues',
      id: issue.id,
      properties: {
        title: issue.title,
        labels: issue.labels.map((label) => label.name).sort(),
        assignee: issue.assignee && issue.assignee.login,
        open: issue.state === 'open',
        closed_at: issue.closed_at,
      },
    });
  } else {
    throw new EventNotSupported(`no handler for ${kind}`);
  }
}
