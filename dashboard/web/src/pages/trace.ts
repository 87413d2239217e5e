// The attribution trace as the page tells it. Reads the names that the engine may use for one thing, and
// keeps the original beside the story, so that nothing the engine says is lost.

export interface Touch {
  link: string | null;
  kind: string | null;
  at: string | null;
  taken: boolean;
  reason: string | null;
}

export interface Trace {
  summary: string | null;
  touches: Touch[];
  raw: unknown;
}

/** By what a conversion was credited, in words. */
export const ruleNames: Record<string, string> = {
  wclid: 'the click token that came back with the order',
  click_id: 'the click id that came with the order',
  coupon: 'a coupon',
  partner_code: "a partner's code",
  customer: "the customer's earlier click",
  subscription: "the subscription's first conversion",
};

type Loose = Record<string, unknown>;

function text(of: Loose, ...names: string[]): string | null {
  for (const name of names) {
    const value = of[name];
    if (typeof value === 'string' && value !== '') return value;
  }
  return null;
}

const taken = new Set(['taken', 'credited', 'accepted', 'took', 'winner', 'won']);

export function readTrace(raw: unknown): Trace {
  const of = (raw ?? {}) as Loose;
  const list = [of.touches, of.candidates, of.steps, of.data].find(Array.isArray) as Loose[] | undefined;
  return {
    summary: text(of, 'summary', 'decision', 'explanation', 'rule'),
    touches: (list ?? []).map((touch) => ({
      link: text(touch, 'link_id', 'link'),
      kind: text(touch, 'kind', 'type', 'source'),
      at: text(touch, 'clicked_at', 'at', 'occurred_at', 'time'),
      taken:
        touch.taken === true || touch.credited === true || taken.has(text(touch, 'verdict', 'outcome') ?? ''),
      reason: text(touch, 'reason', 'why', 'detail', 'rule'),
    })),
    raw,
  };
}
