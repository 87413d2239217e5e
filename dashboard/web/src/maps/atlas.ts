// The shapes of countries (world-atlas: Natural Earth at 1:110 million, public domain), fetched as a file of
// their own when a map is first shown, under the two letters that the engine calls countries by.

import type { Feature, MultiPolygon, Polygon } from 'geojson';
import { feature } from 'topojson-client';
import type { GeometryCollection, Topology } from 'topojson-specification';
import address from 'world-atlas/countries-110m.json?url';

export interface Country {
  code: string;
  shape: Feature<Polygon | MultiPolygon>;
}

/** ISO 3166-1: two letters and the number that the atlas knows the country by. */
const CODES =
  'AE784AF004AL008AM051AO024AQ010AR032AT040AU036AZ031BA070BD050BE056BF854BG100BI108BJ204BN096BO068BR076' +
  'BS044BT064BW072BY112BZ084CA124CD180CF140CG178CH756CI384CL152CM120CN156CO170CR188CU192CY196CZ203DE276' +
  'DJ262DK208DO214DZ012EC218EE233EG818EH732ER232ES724ET231FI246FJ242FK238FR250GA266GB826GE268GH288GL304' +
  'GM270GN324GQ226GR300GT320GW624GY328HN340HR191HT332HU348ID360IE372IL376IN356IQ368IR364IS352IT380JM388' +
  'JO400JP392KE404KG417KH116KP408KR410KW414KZ398LA418LB422LK144LR430LS426LT440LU442LV428LY434MA504MD498' +
  'ME499MG450MK807ML466MM104MN496MR478MW454MX484MY458MZ508NA516NC540NE562NG566NI558NL528NO578NP524NZ554' +
  'OM512PA591PE604PG598PH608PK586PL616PR630PS275PT620PY600QA634RO642RS688RU643RW646SA682SB090SD729SE752' +
  'SI705SK703SL694SN686SO706SR740SS728SV222SY760SZ748TD148TF260TG768TH764TJ762TL626TM795TN788TR792TT780' +
  'TW158TZ834UA804UG800US840UY858UZ860VE862VN704VU548YE887ZA710ZM894ZW716';
/** Places too small to have a shape at this scale: where they are, east and north. */
export const SMALL: Record<string, [number, number]> = {
  AD: [1.5, 42.5],
  AW: [-70, 12.5],
  BB: [-59.5, 13.2],
  BH: [50.6, 26],
  BM: [-64.8, 32.3],
  CV: [-23.6, 15.1],
  CW: [-69, 12.2],
  GF: [-53, 4],
  GG: [-2.6, 49.5],
  GI: [-5.3, 36.1],
  GP: [-61.5, 16.2],
  GU: [144.8, 13.4],
  HK: [114.2, 22.3],
  IM: [-4.5, 54.2],
  JE: [-2.1, 49.2],
  KY: [-81.2, 19.3],
  LI: [9.5, 47.2],
  MC: [7.4, 43.7],
  MO: [113.5, 22.2],
  MQ: [-61, 14.6],
  MT: [14.4, 35.9],
  MU: [57.6, -20.3],
  MV: [73.5, 4.2],
  PF: [-149.4, -17.7],
  RE: [55.5, -21.1],
  SC: [55.5, -4.7],
  SG: [103.8, 1.4],
  SM: [12.5, 43.9],
  WS: [-172.1, -13.8],
};

export async function loadAtlas(): Promise<Country[]> {
  const answer = await fetch(address);
  if (!answer.ok)
    throw new Error('The map could not be loaded. The engine may have been updated: reload the page.');
  const world = (await answer.json()) as Topology<{ countries: GeometryCollection<{ name: string }> }>;
  const codes = new Map<string, string>();
  for (const [, code = '', number = ''] of CODES.matchAll(/([A-Z]{2})(\d{3})/g)) codes.set(number, code);
  return feature(world, world.objects.countries).features.map((shape) => ({
    code: codes.get(String(shape.id)) ?? (shape.properties.name === 'Kosovo' ? 'XK' : ''),
    shape: shape as Feature<Polygon | MultiPolygon>,
  }));
}
