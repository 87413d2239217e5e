// The names of fraud signals, and what they say, for people.

export const signals: Record<string, { title: string; meaning: string }> = {
  hosting: { title: 'hosting', meaning: 'from a data centre, where few people browse' },
  network_rate: { title: 'network rate', meaning: 'more from one network in a minute than people make' },
  visitor_rate: { title: 'visitor rate', meaning: 'more from one visitor in a minute than a person makes' },
  impossible_travel: {
    title: 'impossible travel',
    meaning: 'farther from the last click than anyone travels',
  },
  fast_conversion: { title: 'fast conversion', meaning: 'converted sooner than a person can' },
  self_referral: { title: 'self-referral', meaning: 'the partner is the customer' },
  manual: { title: 'judged', meaning: 'somebody took it out of the counts' },
};
