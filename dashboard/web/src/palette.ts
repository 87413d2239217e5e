// What the command palette finds by a few letters.

export interface Command {
  title: string;
  /** the group it belongs to, as the list names it */
  kind: string;
  /** other words that it is found by */
  words: string;
  /** more about it, beside its title */
  shown?: string;
  /** the single key that does the same */
  key?: string;
  run: () => void;
}

/** How well it fits, greater is better; 0: not at all. Every word asked for must begin a word of it. */
function rank({ title, kind, words }: Command, asked: string[]): number {
  const named = title.toLowerCase();
  const all = `${named} ${kind} ${words}`.toLowerCase().split(/[^\p{L}\p{N}]+/u);
  if (!asked.every((word) => all.some((each) => each.startsWith(word)))) return 0;
  const whole = asked.join(' ');
  return named.startsWith(whole) ? 3 : asked.every((word) => named.includes(word)) ? 2 : 1;
}

export function find(commands: Command[], text: string): Command[] {
  const asked = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (asked.length === 0) return commands;
  return commands
    .map((command) => ({ command, rank: rank(command, asked) }))
    .filter(({ rank }) => rank > 0)
    .sort((a, b) => b.rank - a.rank)
    .map(({ command }) => command);
}
