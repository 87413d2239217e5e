import { describe, expect, it } from 'vitest';
import { asked, readSteps, writeSteps } from './steps';

describe('the steps of a funnel in the address', () => {
  it('are read as they were written, whatever stands in a value', () => {
    const steps = [
      { event: 'click', dimension: 'utm_campaign', value: 'a,b;c=d & ä' },
      { event: 'my event, 2', dimension: '', value: '' },
      { event: '', dimension: '', value: '' },
    ];
    expect(readSteps(writeSteps(steps))).toEqual(steps);
  });

  it('are what earlier addresses said', () => {
    expect(readSteps('click,conversion').map(asked)).toEqual(['click', 'conversion']);
    expect(readSteps('100%,sale').map(({ event }) => event)).toEqual(['100%', 'sale']);
  });

  it('are asked once they say enough', () => {
    const [step] = readSteps('click;country=DE');
    expect(step && asked(step)).toEqual({
      event: 'click',
      name: 'click, DE',
      filters: ['is', 'country', ['DE']],
    });
    expect(readSteps('click;country=,').map(asked)).toEqual([null, null]);
  });
});
