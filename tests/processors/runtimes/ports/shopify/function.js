// Orders: checked by their signature, a track per order, a row per line.
function isGenuine(request, secret) {
  const digest = crypto.createHmac('sha256', secret).update(request.text()).digest('base64');
  return digest === request.headers.get('X-Shopify-Hmac-Sha256');
}

const cents = (price) => Math.round(Number(price) * 100);

async function onRequest(request, settings) {
  if (!isGenuine(request, settings.secret)) throw new ValidationError('The signature does not match');
  const topic = request.headers.get('X-Shopify-Topic');
  if (topic !== 'orders/create' && topic !== 'orders/cancelled') throw new EventNotSupported(topic);

  const order = request.json();
  const products = order.line_items.map((line) => ({
    sku: line.sku,
    name: line.title,
    quantity: line.quantity,
    price_cents: cents(line.price),
  }));
  const customer = order.customer || {};
  Segment.track({
    event: topic === 'orders/create' ? 'Order Completed' : 'Order Cancelled',
    userId: customer.id,
    anonymousId: order.cart_token,
    timestamp: order.created_at,
    properties: {
      order_id: order.name,
      total_cents: cents(order.total_price),
      total: Number(order.total_price),
      discount: order.discount_codes.map((code) => code.code).join(', '),
      products,
      gift: order.note_attributes.some((note) => note.name === 'gift'),
    },
  });
  if (customer.email) {
    Segment.identify({
      userId: customer.id,
      traits: { email: customer.email.toLowerCase(), firstName: customer.first_name, tags: customer.tags.split(', ') },
    });
  }
  products.forEach((product, index) => {
    Segment.set({ collection: 'order_lines', id: `${order.id}-${index + 1}`, properties: { order: order.id, ...product } });
  });
}
