// What became of a hit, in words. Exactly one verdict per hit; only `counted` is a click.

export const verdicts: Record<string, { title: string; meaning: string }> = {
  counted: { title: 'Counted', meaning: 'a click' },
  bot: { title: 'Robot', meaning: 'a robot by its user agent' },
  prefetch: { title: 'Prefetch', meaning: 'a browser looked ahead' },
  head: { title: 'HEAD', meaning: 'asked without going there' },
  duplicate: { title: 'Duplicate', meaning: 'the same visitor again' },
  password: { title: 'Password', meaning: 'stopped at the password' },
  capped: { title: 'Capped', meaning: 'the most clicks were reached' },
  expired: { title: 'Not scheduled', meaning: 'before its start or after its end' },
  disabled: { title: 'Disabled', meaning: 'the link was switched off' },
  orphan: { title: 'No such link', meaning: 'an unknown slug' },
  blocked: { title: 'Blocked', meaning: 'refused by a rule or the blocklist' },
};
