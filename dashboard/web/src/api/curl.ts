/** A call of the API as a command to copy: the first step where a page has nothing to show yet. */
export const curl = (path: string, body: object): string => `curl -s ${location.origin}${path} \\
  -H "Authorization: Bearer $WEIR_KEY" -H "Content-Type: application/json" \\
  -d '${JSON.stringify(body)}'`;
